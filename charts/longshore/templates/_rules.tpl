{{- /* What the operator may do where actions are: in a ClusterRole, or in a Role of each namespace. */ -}}
{{- define "longshore.namespaceRules" -}}
# To see actions, and to read one live before its pod is created. Spec and metadata are never written.
# delete is for those whose spec.ttlSecondsAfterFinished are over, and the policy
# longshore-operator-actions holds it to them.
- apiGroups: [longshore.dev]
  resources: [deploymentactions]
  verbs: [get, list, watch, delete]
# Who has a lock is in a Lease, longshore-lock-NAME. A right cannot be limited to the beginning of a
# name: the policy longshore-operator-leases does it.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update, delete]
{{ include "longshore.actionPolicyRules" . }}
# What actions are made of is read from a cache.
- apiGroups: [longshore.dev]
  resources: [deploymentactiontemplates]
  verbs: [list, watch]
# What became of an action is written to its status, by compare-and-swap.
- apiGroups: [longshore.dev]
  resources: [deploymentactions/status]
  verbs: [update]
# Pods are owned by their action, and the owner reference blocks the owner's deletion; clusters
# with the admission plugin OwnerReferencesPermissionEnforcement ask for this right then.
- apiGroups: [longshore.dev]
  resources: [deploymentactions/finalizers]
  verbs: [update]
# An action runs in a pod in its own namespace. patch takes the finalizer longshore.dev/collect
# off it, writes annotations and lowers activeDeadlineSeconds to stop a script; delete is for pods that did not start in time, and for those whose retention is over.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, patch, delete]
# A script in a ConfigMap is hashed when its run is frozen; whole ConfigMaps become variables.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
# The pull secrets of the service account that an action names, or of the default one, are named to
# the pod that resolves its tag.
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get]
# A script's output, its end and its outputs are read from the pod's log.
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
# Why a pod does not start (a missing Secret, say) is told in its events alone.
- apiGroups: [""]
  resources: [events]
  verbs: [list, watch]
# A pod that a LimitRange refuses is told of with its name, which the API server does not say.
- apiGroups: [""]
  resources: [limitranges]
  verbs: [list]
# That a run's script started, and how it ended, is told in events of the action.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}

{{- /* What actions may be, here or, in the operator's own namespace, everywhere. */ -}}
{{- define "longshore.actionPolicyRules" -}}
# What actions may be: their policies are asked again when a run starts.
- apiGroups: [longshore.dev]
  resources: [actionpolicies]
  verbs: [list, watch]
{{- end -}}

{{- /* What it may do in the whole cluster whichever namespaces it serves: these are not in any. */ -}}
{{- define "longshore.clusterRules" -}}
# Templates of the cluster are in no namespace.
- apiGroups: [longshore.dev]
  resources: [clusterdeploymentactiontemplates]
  verbs: [list, watch]
# Whether the policies on who may use what are in force, unaltered: nothing that names a Secret is
# started without it.
- apiGroups: [admissionregistration.k8s.io]
  resources: [validatingadmissionpolicies, validatingadmissionpolicybindings]
  resourceNames: [longshore-use, longshore-use-templates, longshore-use-cluster-templates]
  verbs: [list, watch]
# Whether all nodes have image volumes, and whether the node of a silent pod still reports.
- apiGroups: [""]
  resources: [nodes]
  verbs: [list]
{{- end -}}

{{- /* What the hook may do with pods that goes before `helm uninstall`. */ -}}
{{- define "longshore.uninstallRules" -}}
# To find pods of actions, and to take the finalizer off them; a right to patch cannot be limited to
# a label.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, patch]
{{- end -}}
