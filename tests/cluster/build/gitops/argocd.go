package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// argocdHealth runs a health script as Argo CD 3.6.1 does (util/lua/lua.go), whose own package cannot
// be linked: it needs a newer Go. The same interpreter in the same version; of the libraries base,
// package and table (there, time and date of os too: no script of ours may need them); the global
// obj; one second; and of what comes back only the statuses that Argo CD knows.
func argocdHealth(object *unstructured.Unstructured, script string) (health, error) {
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
			return health{}, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(ctx)
	state.SetGlobal("actionParams", state.NewTable())
	state.SetGlobal("obj", toLua(state, object.Object))
	if err := state.DoString(script); err != nil {
		return health{}, err
	}
	table, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return health{}, fmt.Errorf("the script returns a %s, not a table", state.Get(-1).Type())
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
