"""Resources as a control plane serves them, in the v3 API's JSON form, and a bootstrap that takes them by ADS."""

from . import config

V3 = "type.googleapis.com/envoy.config."
ADS = {"ads": {}, "resource_api_version": "V3"}


def resource(kind, body):
    return {"@type": V3 + kind, **body}


def eds_cluster(name, **fields):
    return resource("cluster.v3.Cluster", {"name": name, "type": "EDS", "connect_timeout": "1s", "eds_cluster_config": {"eds_config": ADS}, **fields})


def endpoints(name, *ports):
    return resource("endpoint.v3.ClusterLoadAssignment", config.load_assignment(name, *ports))


def routes(name, *made, **fields):
    return resource("route.v3.RouteConfiguration", config.route_config(config.virtual_host(*made), name=name, **fields))


def listener(port, route_name="routes", name="listener", **fields):
    manager = config.hcm(None, rds={"route_config_name": route_name, "config_source": ADS}, **fields)
    return resource("listener.v3.Listener", config.listener(port, manager, name=name))


def ads_bootstrap(port, api_type="GRPC", **node):
    """For a control plane on a port of loopback. api_type: GRPC or DELTA_GRPC."""
    return {
        "node": {"id": "test", "cluster": "tests", **node},
        "admin": {"address": config.address(0)},
        "dynamic_resources": {
            "ads_config": {"api_type": api_type, "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "control"}}]},
            "cds_config": ADS, "lds_config": ADS},
        "static_resources": {"clusters": [config.cluster("control", port, http2=True)]},
    }
