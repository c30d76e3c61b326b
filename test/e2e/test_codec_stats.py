"""What the HTTP/1 codecs count: one set for all downstream connections, one for each cluster."""

import pytest

from support import config, http1, process
from support.ports import free_port

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

NAMES = ("dropped_headers_with_underscores", "metadata_not_supported_error", "requests_rejected_with_underscores_in_headers",
         "response_flood")


def underscores(action):
    return {"headers_with_underscores_action": action}


def test_underscores_are_counted_where_clients_send_them(start_weir, make_upstream):
    upstream = make_upstream(lambda request, connection: connection.reply(headers={"from_upstream": "1"}))
    dropping, rejecting = free_port(), free_port()

    def listener(port, name, action):
        return config.listener(port, config.hcm([config.virtual_host(config.route("up"))], stat_prefix=name,
                                                common_http_protocol_options=underscores(action)), name=name)

    cluster = config.cluster("up", upstream.port, typed_extension_protocol_options=config.protocol_options(
        common_http_protocol_options=underscores("DROP_HEADER"), explicit_http_config={"http_protocol_options": {}}))
    weir = start_weir(config.bootstrap([listener(dropping, "dropping", "DROP_HEADER"),
                                        listener(rejecting, "rejecting", "REJECT_REQUEST")], [cluster]))
    assert weir.stats("http1.") == {f"http1.{name}": 0 for name in NAMES}
    assert weir.stats("cluster.up.http1.") == {}

    response = http1.get(dropping, headers={"a_b": "1", "c_d": "2", "e": "3"})
    assert response.status == 200
    assert response.get("from_upstream") == "1"  # only requests are looked at
    request = upstream.requests[0]
    assert (request.get("a_b"), request.get("c_d"), request.get("e")) == (None, None, "3")
    assert http1.get(rejecting, headers={"a_b": "1"}).status == 400
    assert http1.get(rejecting).status == 200

    counts = weir.stats("http1.")
    assert counts["http1.dropped_headers_with_underscores"] == 2
    assert counts["http1.requests_rejected_with_underscores_in_headers"] == 1
    assert weir.stats("cluster.up.http1.") == {f"cluster.up.http1.{name}": 0 for name in NAMES}
