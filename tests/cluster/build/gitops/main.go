// What GitOps tools make of an object, by their own libraries where these can be linked, for the
// tests: one object as JSON on standard input, the answer as JSON on standard output.
//
//	gitops kstatus                        what kstatus computes (Flux, Helm 4)
//	gitops argocd-health FILE             what Argo CD makes of a health script
//	gitops argocd-actions FILE            which actions Argo CD offers by a discovery script
//	gitops argocd-action FILE             the patch that Argo CD sends for an action's script
//	gitops flux-substitute NAME=VALUE...  the object after Flux's postBuild.substitute
//	gitops flux-apply TIMEOUT             applies it to KUBECONFIG's cluster as Flux does, and waits
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func main() {
	answer, err := run(os.Args[1:], os.Stdin)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(answer)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(arguments []string, in io.Reader) (any, error) {
	if len(arguments) == 0 {
		return nil, errors.New("usage: gitops kstatus | argocd-health FILE | argocd-actions FILE | argocd-action FILE | flux-substitute NAME=VALUE... | flux-apply TIMEOUT")
	}
	text, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	object := &unstructured.Unstructured{}
	// As the tools' own clients decode: whole numbers are int64.
	if err := object.UnmarshalJSON(text); err != nil {
		return nil, err
	}
	switch verb, rest := arguments[0], arguments[1:]; {
	case verb == "kstatus" && len(rest) == 0:
		result, err := status.Compute(object)
		if err != nil {
			return nil, err
		}
		return health{Status: result.Status.String(), Message: result.Message}, nil
	case strings.HasPrefix(verb, "argocd-") && len(rest) == 1:
		script, err := os.ReadFile(rest[0])
		if err != nil {
			return nil, err
		}
		switch verb {
		case "argocd-health":
			return argocdHealth(object, string(script))
		case "argocd-actions":
			return argocdActions(object, string(script))
		case "argocd-action":
			return argocdAction(object, string(script))
		}
		return nil, fmt.Errorf("not understood: %s", verb)
	case verb == "flux-substitute" && len(rest) > 0:
		variables := map[string]any{}
		for _, pair := range rest {
			name, value, found := strings.Cut(pair, "=")
			if !found {
				return nil, fmt.Errorf("not NAME=VALUE: %s", pair)
			}
			variables[name] = value
		}
		return fluxSubstitute(object, variables)
	case verb == "flux-apply" && len(rest) == 1:
		timeout, err := time.ParseDuration(rest[0])
		if err != nil {
			return nil, err
		}
		return fluxApply(object, timeout)
	default:
		return nil, fmt.Errorf("not understood: %s", strings.Join(arguments, " "))
	}
}

type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}
