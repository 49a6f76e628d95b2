-- Cancels the run that is under way, and no later one. The annotation holds its id.
local run = (obj.status or {}).run
if run == nil or run.finishedAt ~= nil then
  error("no run is under way")
end
local annotations = obj.metadata.annotations or {}
annotations["longshore.dev/cancel"] = run.id
obj.metadata.annotations = annotations
return obj
