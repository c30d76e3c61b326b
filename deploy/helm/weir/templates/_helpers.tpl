{{- define "weir.image" -}}
{{ with .root.Values.image.repository }}{{ . }}/{{ end }}{{ .name }}:{{ .root.Values.image.tag }}
{{- end }}

{{- define "weir.restricted" -}}
{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, runAsNonRoot: true, capabilities: {drop: [ALL]}}
{{- end }}

{{- define "weir.bootstrap" -}}
node:
  id: $(POD_NAME).$(POD_NAMESPACE)
  cluster: $(WEIR_GROUP)
  locality: {zone: $(NODE_NAME)}
  metadata: {pod: $(POD_NAME), namespace: $(POD_NAMESPACE), ip: $(POD_IP)}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 15000}}}
dynamic_resources:
  ads_config:
    api_type: DELTA_GRPC
    transport_api_version: V3
    grpc_services: [{envoy_grpc: {cluster_name: control-plane}}]
  cds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
  lds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
static_resources:
  clusters:
  - name: control-plane
    type: STRICT_DNS
    dns_lookup_family: V4_PREFERRED
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {connection_keepalive: {interval: 10s, timeout: 5s}}}
    load_assignment:
      cluster_name: control-plane
      endpoints:
      - lb_endpoints: [{endpoint: {address: {socket_address: {address: weir-control-plane, port_value: 18000}}}}]
layered_runtime: {layers: [{name: admin, admin_layer: {}}]}
{{- end }}
