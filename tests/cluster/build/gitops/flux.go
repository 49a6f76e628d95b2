package main

import (
	"context"

	"github.com/fluxcd/pkg/kustomize"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/provider"
)

// fluxSubstitute does what kustomize-controller does with each object of a Kustomization that has
// these variables in spec.postBuild.substitute.
func fluxSubstitute(object *unstructured.Unstructured, variables map[string]any) (any, error) {
	kustomization := unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{"postBuild": map[string]any{"substitute": variables}},
	}}
	resource, err := provider.NewDefaultDepProvider().GetResourceFactory().FromMap(object.Object)
	if err != nil {
		return nil, err
	}
	// No client: nothing is read from a cluster where only postBuild.substitute is given.
	substituted, err := kustomize.SubstituteVariables(context.Background(), nil, kustomization, resource)
	if err != nil {
		return nil, err
	}
	// Nothing comes back for an object that has substitution disabled: the controller leaves it as it is.
	if substituted == nil {
		return object.Object, nil
	}
	return substituted.Map()
}
