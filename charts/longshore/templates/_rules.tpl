{{- /* The operator's rights where actions are: in a ClusterRole, or in a Role of each namespace. */ -}}
{{- define "longshore.namespaceRules" -}}
# The operator watches actions, and reads one live before it creates its pod. It never writes spec or
# metadata. It deletes actions whose spec.ttlSecondsAfterFinished have passed. The policy
# longshore-operator-actions limits it to these.
- apiGroups: [longshore.dev]
  resources: [deploymentactions]
  verbs: [get, list, watch, delete]
# A lock is a Lease, longshore-lock-NAME. RBAC cannot limit a right to the beginning of a name. The
# policy longshore-operator-leases does.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update, delete]
{{ include "longshore.actionPolicyRules" . }}
# The operator reads templates from a cache.
- apiGroups: [longshore.dev]
  resources: [deploymentactiontemplates]
  verbs: [list, watch]
# The operator writes an action's status, by compare-and-swap.
- apiGroups: [longshore.dev]
  resources: [deploymentactions/status]
  verbs: [update]
# An action owns its pods, and the owner reference blocks the action's deletion. Clusters with the
# admission plugin OwnerReferencesPermissionEnforcement ask for this right.
- apiGroups: [longshore.dev]
  resources: [deploymentactions/finalizers]
  verbs: [update]
# An action runs in a pod in its own namespace. The operator patches a pod to remove the finalizer
# longshore.dev/collect, to write annotations, and to lower activeDeadlineSeconds, which stops a script.
# It deletes pods that did not start in time, and pods whose retention has passed.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, patch, delete]
# The operator hashes a script in a ConfigMap when it freezes the run. Whole ConfigMaps become variables.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
# The pod that resolves a tag names the pull secrets of the action's service account, or of the default one.
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get]
# A run's sensitive outputs become a Secret that the action owns. The operator can create Secrets and not read
# them. The policy longshore-operator-secrets limits it to this type.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
# The operator reads a script's output, its end and its outputs from the pod's log.
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
# Only events say why a pod does not start, such as for a missing Secret.
- apiGroups: [""]
  resources: [events]
  verbs: [list, watch]
# If a LimitRange refuses a pod, the message names the LimitRange. The API server does not.
- apiGroups: [""]
  resources: [limitranges]
  verbs: [list]
# The operator creates events of the action when a script has started and when a run has ended.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}

{{- /* To read the ActionPolicy of a namespace. The one in the operator's own namespace is the cluster's. */ -}}
{{- define "longshore.actionPolicyRules" -}}
# The operator checks the ActionPolicy again when a run starts.
- apiGroups: [longshore.dev]
  resources: [actionpolicies]
  verbs: [list, watch]
{{- end -}}

{{- /* The operator's rights in the whole cluster, whichever namespaces it serves: these objects are in no namespace. */ -}}
{{- define "longshore.clusterRules" -}}
# Templates of the cluster are in no namespace.
- apiGroups: [longshore.dev]
  resources: [clusterdeploymentactiontemplates]
  verbs: [list, watch]
# The operator checks that the use policies are installed and unchanged. Otherwise it starts nothing that
# names a Secret.
- apiGroups: [admissionregistration.k8s.io]
  resources: [validatingadmissionpolicies, validatingadmissionpolicybindings]
  resourceNames: [longshore-use, longshore-use-templates, longshore-use-cluster-templates]
  verbs: [list, watch]
# The operator checks whether all nodes have image volumes, and whether the node of a silent pod still reports.
- apiGroups: [""]
  resources: [nodes]
  verbs: [list]
{{ include "longshore.apiServiceRules" . }}
{{- end -}}

{{- /* The log server's rights where actions are. */ -}}
{{- define "longshore.logApiRules" -}}
# The log server finds an action's pod and reads its log. It decides by the caller's rights on the action.
- apiGroups: [longshore.dev]
  resources: [deploymentactions]
  verbs: [get]
- apiGroups: [""]
  resources: [pods, pods/log]
  verbs: [get]
{{- end -}}

{{- /* To remove the APIService of the log server, from an installation that has one, or had one. */ -}}
{{- define "longshore.apiServiceRules" -}}
# While an APIService has no server, no namespace can be deleted. So it is removed when the log server does
# not answer, and before the log server goes.
- apiGroups: [apiregistration.k8s.io]
  resources: [apiservices]
  resourceNames: [v1alpha1.log.longshore.dev]
  verbs: [get, delete]
{{- end -}}

{{- /* The rights of the hook that runs before `helm uninstall`. */ -}}
{{- define "longshore.uninstallRules" -}}
# The hook finds pods of actions and removes their finalizer. RBAC cannot limit patch to a label.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, patch]
{{- end -}}
