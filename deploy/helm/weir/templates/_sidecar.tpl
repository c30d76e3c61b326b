{{/* weir as a native sidecar, for pods of other charts that depend on this one:
       initContainers: {{ include "weir.sidecar.initContainers" . | nindent 6 }}
       volumes: {{ include "weir.sidecar.volumes" . | nindent 6 }}
     The application must not run as user 65532. WEIR_GROUP is the pod's label `app`. */}}
{{- define "weir.sidecar.initContainers" -}}
# the one container with NET_ADMIN; it has ended before weir starts
- name: weir-redirect
  image: {{ include "weir.image" (dict "root" . "name" "weir") }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args: [redirect, --proxy-uid, "65532", --exclude-inbound-ports, "15021"]
  securityContext:
    runAsUser: 0
    runAsNonRoot: false
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities: {drop: [ALL], add: [NET_ADMIN]}
- name: weir
  image: {{ include "weir.image" (dict "root" . "name" "weir") }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  restartPolicy: Always
  args: [-c, /etc/weir/bootstrap.yaml, --probe-address, "0.0.0.0:15021", --drain-time-s, "20"]
  env:
  - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
  - {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
  - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
  - {name: NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
  - {name: WEIR_GROUP, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
  ports: [{name: weir-probe, containerPort: 15021}]
  lifecycle:
    postStart: {exec: {command: [/usr/bin/weir-wait, --timeout, 20s, --go-on]}}
    preStop: {exec: {command: [/usr/bin/weir, drain, --inbound-only]}}
  readinessProbe: {httpGet: {path: /ready, port: weir-probe}, periodSeconds: 1, failureThreshold: 2}
  livenessProbe: {httpGet: {path: /live, port: weir-probe}, periodSeconds: 10}
  resources: {requests: {cpu: 10m, memory: 32Mi}, limits: {memory: 256Mi}}
  securityContext:
    runAsUser: 65532
    runAsGroup: 65532
    runAsNonRoot: true
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities: {drop: [ALL]}
  volumeMounts: [{name: weir-bootstrap, mountPath: /etc/weir}]
{{- end }}

{{- define "weir.sidecar.volumes" -}}
- {name: weir-bootstrap, configMap: {name: weir-bootstrap}}
{{- end }}

{{/* The groups that the values name and, with the example, those of its applications. */}}
{{- define "weir.groups" -}}
{{- $groups := deepCopy .Values.groups }}
{{- if .Values.example.enabled }}
{{- range $group := list "web" "client" }}
{{- $files := dict }}
{{- range $file := list "clusters.yaml" "listeners.yaml" "routes.yaml" }}
{{- $_ := set $files $file ($.Files.Get (printf "files/%s/%s" $group $file)) }}
{{- end }}
{{- $_ := set $groups $group (merge (get $groups $group | default dict) $files) }}
{{- end }}
{{- end }}
{{- toYaml $groups }}
{{- end }}
