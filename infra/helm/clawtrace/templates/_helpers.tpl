{{- define "clawtrace.labels" -}}
app.kubernetes.io/name: clawtrace
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- define "clawtrace.serviceAccount" -}}
{{ .Values.serviceAccount.name | default .Release.Name }}
{{- end }}

{{- define "clawtrace.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "clawtrace.environment" -}}
- {name: CLAWTRACE_HOME, value: /var/lib/clawtrace}
- {name: CLAWTRACE_LISTEN_HOST, value: 0.0.0.0}
- {name: CLAWTRACE_KAFKA_BOOTSTRAP, value: {{ .Values.kafka.bootstrap | quote }}}
- {name: CLAWTRACE_KAFKA_PROTOCOL, value: {{ .Values.kafka.protocol | quote }}}
{{- if hasPrefix "sasl" .Values.kafka.protocol }}
- {name: CLAWTRACE_KAFKA_MECHANISM, value: {{ .Values.kafka.mechanism | quote }}}
- {name: CLAWTRACE_KAFKA_USERNAME, value: {{ required "kafka.username is needed for SASL" .Values.kafka.username | quote }}}
- name: CLAWTRACE_KAFKA_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ .Values.existingSecret }}, key: kafka-password}}
{{- end }}
{{- if .Values.kafka.caFromSecret }}
- {name: CLAWTRACE_KAFKA_CA_FILE, value: /var/lib/clawtrace/secrets/kafka-ca.pem}
{{- end }}
- name: CLAWTRACE_POSTGRES_DSN
  valueFrom: {secretKeyRef: {name: {{ .Values.existingSecret }}, key: postgres-dsn}}
- {name: CLAWTRACE_TRINO_URL, value: {{ .Values.trino.url | quote }}}
{{- if not .Values.trino.caFromSecret }}
- {name: CLAWTRACE_TRINO_CA_FILE, value: /etc/ssl/certs/ca-certificates.crt}
{{- end }}
- {name: CLAWTRACE_WAREHOUSE, value: {{ .Values.lake.warehouse | quote }}}
- {name: CLAWTRACE_CATALOG_NAME, value: {{ .Values.lake.catalogName | quote }}}
- {name: CLAWTRACE_CATALOG_TYPE, value: {{ .Values.lake.catalogType | quote }}}
{{- if eq .Values.lake.catalogType "rest" }}
- {name: CLAWTRACE_CATALOG_URI, value: {{ required "lake.catalogUri is needed for a REST catalog" .Values.lake.catalogUri | quote }}}
{{- end }}
{{- if .Values.lake.propertiesFromSecret }}
- name: CLAWTRACE_CATALOG_PROPERTIES
  valueFrom: {secretKeyRef: {name: {{ .Values.existingSecret }}, key: catalog-properties}}
{{- else if .Values.lake.properties }}
- {name: CLAWTRACE_CATALOG_PROPERTIES, value: {{ .Values.lake.properties | toJson | quote }}}
{{- end }}
{{- if .Values.lake.awsRegion }}
- {name: AWS_REGION, value: {{ .Values.lake.awsRegion | quote }}}
{{- end }}
{{- if .Values.lake.awsFromSecret }}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ .Values.existingSecret }}, key: aws-access-key-id}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ .Values.existingSecret }}, key: aws-secret-access-key}}
{{- end }}
{{- range $name, $value := .Values.settings }}
- {name: {{ $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- end }}

{{- define "clawtrace.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "clawtrace.volumeMounts" -}}
- {name: home, mountPath: /var/lib/clawtrace}
- {name: secrets, mountPath: /var/lib/clawtrace/secrets, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "clawtrace.volumes" -}}
- {name: tmp, emptyDir: {}}
- name: secrets
  secret: {secretName: {{ .Values.existingSecret }}, defaultMode: 0440}
{{- end }}
