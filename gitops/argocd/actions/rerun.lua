-- Asks for another run, by a new text: the time.
local os = require("os")
local annotations = obj.metadata.annotations or {}
annotations["longshore.dev/rerun"] = "argocd-" .. os.date("!%Y-%m-%dT%XZ")
obj.metadata.annotations = annotations
return obj
