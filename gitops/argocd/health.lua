-- Health of a DeploymentAction. It goes into argocd-cm as it is: see argocd-cm.yaml beside it.
local health = { status = "Progressing", message = "Longshore has not seen this version of the action yet" }

local status = obj.status
if status == nil or status.observedGeneration ~= obj.metadata.generation then
  return health
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

local ready, stalled = conditions.Ready, conditions.Stalled
if stalled ~= nil and stalled.status == "True" then
  health.status = "Degraded"
  health.message = stalled.message
elseif ready ~= nil then
  if ready.status == "True" then
    health.status = "Healthy"
  elseif ready.reason == "Suspended" then
    health.status = "Suspended"
  end
  health.message = ready.reason
  if ready.message ~= "" then
    health.message = ready.reason .. ": " .. ready.message
  end
end
return health
