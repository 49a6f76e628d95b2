-- The actions that Argo CD offers for a DeploymentAction. It goes into argocd-cm: see argocd-cm.yaml.
local run = (obj.status or {}).run
local ends = run == nil or run.finishedAt ~= nil
return { rerun = { disabled = false }, cancel = { disabled = ends } }
