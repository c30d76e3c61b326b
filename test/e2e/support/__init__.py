"""What the end-to-end tests share: weir and its peers as objects, raw clients, configuration builders."""
