package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	luajson "layeh.com/gopher-json"
)

// runArgocd runs a script as Argo CD 3.6.1 does (util/lua/lua.go), whose own package cannot be linked:
// it needs a newer Go. The same interpreter in the same version; of the libraries base, package and
// table, and by require("os") the functions time and date; the globals obj and actionParams; one second.
func runArgocd(object *unstructured.Unstructured, script string) (*lua.LTable, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{
		{lua.LoadLibName, lua.OpenPackage},
		{lua.BaseLibName, lua.OpenBase},
		{lua.TabLibName, lua.OpenTable},
	} {
		call := lua.P{Fn: state.NewFunction(library.open), Protect: true}
		if err := state.CallByParam(call, lua.LString(library.name)); err != nil {
			return nil, err
		}
	}
	state.PreloadModule(lua.OsLibName, func(state *lua.LState) int {
		state.Push(state.SetFuncs(state.NewTable(), clock()))
		return 1
	})
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(ctx)
	state.SetGlobal("actionParams", state.NewTable())
	state.SetGlobal("obj", toLua(state, object.Object))
	if err := state.DoString(script); err != nil {
		return nil, err
	}
	table, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return nil, fmt.Errorf("the script returns a %s, not a table", state.Get(-1).Type())
	}
	return table, nil
}

// clock is what Argo CD has of the library os: a copy of the interpreter's own.
func clock() map[string]lua.LGFunction {
	whole := lua.NewState()
	defer whole.Close()
	functions := map[string]lua.LGFunction{}
	for _, name := range []string{"time", "date"} {
		functions[name] = whole.GetField(whole.GetGlobal(lua.OsLibName), name).(*lua.LFunction).GFunction
	}
	return functions
}

// argocdHealth is what Argo CD makes of a health script: of what comes back only the statuses that it
// knows.
func argocdHealth(object *unstructured.Unstructured, script string) (health, error) {
	table, err := runArgocd(object, script)
	if err != nil {
		return health{}, err
	}
	answer := health{Status: lua.LVAsString(table.RawGetString("status"))}
	switch message := table.RawGetString("message").(type) {
	case lua.LString:
		answer.Message = string(message)
	case *lua.LNilType:
	default:
		return health{}, fmt.Errorf("the message is a %s, not a text", message.Type())
	}
	switch answer.Status {
	case "Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown":
		return answer, nil
	default:
		return health{}, fmt.Errorf("Argo CD knows no status %q", answer.Status)
	}
}

// argocdActions is which actions Argo CD offers by a discovery script, and whether each is disabled.
func argocdActions(object *unstructured.Unstructured, script string) (map[string]action, error) {
	table, err := runArgocd(object, script)
	if err != nil {
		return nil, err
	}
	text, err := luajson.Encode(table)
	if err != nil {
		return nil, err
	}
	actions := map[string]action{}
	return actions, json.Unmarshal(text, &actions)
}

type action struct {
	Disabled bool `json:"disabled"`
}

// argocdAction is the merge patch that Argo CD sends for an action's script, which returns the object
// as it is to be (server/application/application.go). Lua knows no empty list from an empty map: what
// was one of them and is empty still is what it was.
func argocdAction(object *unstructured.Unstructured, script string) (json.RawMessage, error) {
	before, err := object.MarshalJSON()
	if err != nil {
		return nil, err
	}
	table, err := runArgocd(object, script)
	if err != nil {
		return nil, err
	}
	text, err := luajson.Encode(table)
	if err != nil {
		return nil, err
	}
	var after map[string]any
	if err := json.Unmarshal(text, &after); err != nil {
		return nil, err
	}
	text, err = json.Marshal(cleaned(after, object.Object))
	if err != nil {
		return nil, err
	}
	return jsonpatch.CreateMergePatch(before, text)
}

func cleaned(after, before any) any {
	switch after := after.(type) {
	case map[string]any:
		if before, ok := before.(map[string]any); ok {
			for key, value := range after {
				after[key] = cleaned(value, before[key])
			}
		}
	case []any:
		switch before := before.(type) {
		case map[string]any:
			if len(after) == 0 {
				return before
			}
		case []any:
			for index, value := range after {
				if index < len(before) {
					after[index] = cleaned(value, before[index])
				}
			}
		}
	}
	return after
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case float64:
		return lua.LNumber(value)
	case int64:
		return lua.LNumber(value)
	case json.Number:
		return lua.LString(value)
	case string:
		return lua.LString(value)
	case []any:
		list := state.CreateTable(len(value), 0)
		for _, item := range value {
			list.Append(toLua(state, item))
		}
		return list
	case map[string]any:
		table := state.CreateTable(0, len(value))
		for key, item := range value {
			table.RawSetString(key, toLua(state, item))
		}
		return table
	default:
		return lua.LNil
	}
}
