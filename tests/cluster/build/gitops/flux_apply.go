package main

import (
	"context"
	"errors"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/pkg/ssa"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

type applied struct {
	// What applying did: created, configured or unchanged.
	Action string `json:"action"`
	// Why the wait was given up; empty where the object became ready.
	Failure string `json:"failure"`
}

// fluxApply applies an object and waits for it by the engine of kustomize-controller, as a
// Kustomization with wait: true and this timeout does.
func fluxApply(object *unstructured.Unstructured, timeout time.Duration) (any, error) {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), nil).ClientConfig()
	if err != nil {
		return nil, err
	}
	manager, err := resourceManager(config)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	changes, err := manager.ApplyAllStaged(ctx, []*unstructured.Unstructured{object}, ssa.DefaultApplyOptions())
	if err != nil {
		return nil, err
	}
	if len(changes.Entries) != 1 {
		return nil, errors.New("one object was applied, and not one is reported")
	}
	answer := applied{Action: changes.Entries[0].Action.String()}
	options := ssa.WaitOptions{Interval: 500 * time.Millisecond, Timeout: timeout}
	if err := manager.WaitForSetWithContext(ctx, changes.ToObjMetadataSet(), options); err != nil {
		answer.Failure = err.Error()
	}
	return answer, nil
}

func resourceManager(config *rest.Config) (*ssa.ResourceManager, error) {
	// Or a wait that is over would be told as a limit of requests.
	config.QPS, config.Burst = 500, 1000
	http, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	mapper, err := apiutil.NewDynamicRESTMapper(config, http)
	if err != nil {
		return nil, err
	}
	kube, err := client.New(config, client.Options{HTTPClient: http, Mapper: mapper})
	if err != nil {
		return nil, err
	}
	poller := polling.NewStatusPoller(kube, mapper, polling.Options{})
	owner := ssa.Owner{Field: "kustomize-controller", Group: "kustomize.toolkit.fluxcd.io"}
	return ssa.NewResourceManager(kube, poller, owner), nil
}
