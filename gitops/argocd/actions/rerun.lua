-- Asks for another run, by a text that was not there before: the time.
local os = require("os")
local annotations = obj.metadata.annotations or {}
annotations["longshore.dev/rerun"] = "argocd-" .. os.date("!%Y-%m-%dT%XZ")
obj.metadata.annotations = annotations
return obj
