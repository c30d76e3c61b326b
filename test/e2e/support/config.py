"""Builders for pieces of configuration, as plain dicts in the v3 API's JSON form. Every keyword adds or replaces a field."""

PREFIX = "type.googleapis.com/envoy.extensions."
HCM = PREFIX + "filters.network.http_connection_manager.v3.HttpConnectionManager"
TCP_PROXY = PREFIX + "filters.network.tcp_proxy.v3.TcpProxy"
ROUTER = PREFIX + "filters.http.router.v3.Router"
HTTP_PROTOCOL_OPTIONS = PREFIX + "upstreams.http.v3.HttpProtocolOptions"
DOWNSTREAM_TLS = PREFIX + "transport_sockets.tls.v3.DownstreamTlsContext"
UPSTREAM_TLS = PREFIX + "transport_sockets.tls.v3.UpstreamTlsContext"
FILE_LOG = PREFIX + "access_loggers.file.v3.FileAccessLog"


def address(port, host="127.0.0.1"):
    """A TCP address; with a path instead of a port, a Unix socket."""
    if isinstance(port, int):
        return {"socket_address": {"address": host, "port_value": port}}
    return {"pipe": {"path": str(port)}}


def typed(type_url, **fields):
    return {"@type": type_url, **fields}


def bootstrap(listeners=(), clusters=(), **fields):
    """A static bootstrap with admin on a port of the system's choice."""
    return {
        "admin": {"address": address(0)},
        "static_resources": {"listeners": list(listeners), "clusters": list(clusters)},
        **fields,
    }


def listener(port, *filter_chains, name="listener", **fields):
    """filter_chains: made by filter_chain, or the network filter itself for one chain without a match."""
    chains = [chain if "filters" in chain else filter_chain(chain) for chain in filter_chains]
    return {"name": name, "address": address(port), "filter_chains": chains, **fields}


def filter_chain(*filters, match=None, tls=None, **fields):
    chain = {"filters": list(filters), **fields}
    if match:
        chain["filter_chain_match"] = match
    if tls:
        chain["transport_socket"] = tls
    return chain


def hcm(virtual_hosts=None, http_filters=(), stat_prefix="ingress", **fields):
    """The HTTP connection manager with an inline route table; http_filters go before the router."""
    manager = typed(HCM, stat_prefix=stat_prefix, http_filters=[*http_filters, router()])
    if virtual_hosts is not None:
        manager["route_config"] = route_config(*virtual_hosts)
    manager.update(fields)
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}


def tcp_proxy(cluster_name, stat_prefix="tcp", **fields):
    return {"name": "envoy.filters.network.tcp_proxy",
            "typed_config": typed(TCP_PROXY, stat_prefix=stat_prefix, cluster=cluster_name, **fields)}


def router(**fields):
    return {"name": "envoy.filters.http.router", "typed_config": typed(ROUTER, **fields)}


def route_config(*virtual_hosts, name="routes", **fields):
    return {"name": name, "virtual_hosts": list(virtual_hosts), **fields}


def virtual_host(*routes, name="all", domains=("*",), **fields):
    return {"name": name, "domains": list(domains), "routes": list(routes), **fields}


def route(cluster_name, prefix="/", match=None, **action):
    """To a cluster; match replaces the prefix match, action are fields of RouteAction."""
    return {"match": match or {"prefix": prefix}, "route": {"cluster": cluster_name, **action}}


def direct_response(status, body=None, prefix="/", match=None):
    response = {"status": status}
    if body is not None:
        response["body"] = {"inline_string": body}
    return {"match": match or {"prefix": prefix}, "direct_response": response}


def cluster(name, *ports, http2=False, tls=None, **fields):
    """A static cluster of loopback endpoints (a path instead of a port: a Unix socket)."""
    made = {"name": name, "type": "STATIC", "connect_timeout": "5s", "load_assignment": load_assignment(name, *ports)}
    if http2:
        made["typed_extension_protocol_options"] = protocol_options(explicit_http_config={"http2_protocol_options": {}})
    if tls:
        made["transport_socket"] = tls
    made.update(fields)
    return made


def protocol_options(**fields):
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed(HTTP_PROTOCOL_OPTIONS, **fields)}


def load_assignment(name, *ports):
    return {"cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(port)}} for port in ports]}]}


def downstream_tls(certificate, alpn=(), **fields):
    """certificate: of support.tls. fields: of DownstreamTlsContext, common_tls_context is merged."""
    return _tls(DOWNSTREAM_TLS, certificate, alpn, fields)


def upstream_tls(ca=None, alpn=(), certificate=None, **fields):
    """ca: path of the certificates to trust; without one the server is not verified."""
    common = fields.pop("common_tls_context", {})
    if ca:
        common = {"validation_context": {"trusted_ca": {"filename": str(ca)}}, **common}
    return _tls(UPSTREAM_TLS, certificate, alpn, {**fields, "common_tls_context": common})


def _tls(type_url, certificate, alpn, fields):
    common = {}
    if certificate:
        common["tls_certificates"] = [{"certificate_chain": {"filename": str(certificate.chain)},
                                       "private_key": {"filename": str(certificate.key)}}]
    if alpn:
        common["alpn_protocols"] = list(alpn)
    common.update(fields.pop("common_tls_context", {}))
    return {"name": "envoy.transport_sockets.tls",
            "typed_config": typed(type_url, common_tls_context=common, **fields)}


def file_access_log(path, text_format=None, json_format=None):
    config = typed(FILE_LOG, path=str(path))
    if text_format is not None:
        config["log_format"] = {"text_format_source": {"inline_string": text_format}}
    if json_format is not None:
        config["log_format"] = {"json_format": json_format}
    return {"name": "envoy.access_loggers.file", "typed_config": config}


def simple_proxy(listen_port, upstream_port, **hcm_fields):
    """One listener, every request to one HTTP/1.1 upstream."""
    return bootstrap([listener(listen_port, hcm([virtual_host(route("upstream"))], **hcm_fields))],
                     [cluster("upstream", upstream_port)])
