-- What people can ask of a DeploymentAction in Argo CD. It goes into argocd-cm: see argocd-cm.yaml.
local run = (obj.status or {}).run
local ends = run == nil or run.finishedAt ~= nil
return { rerun = { disabled = false }, cancel = { disabled = ends } }
