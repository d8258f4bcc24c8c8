package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/cel/environment"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	basecompatibility "k8s.io/component-base/compatibility"
)

var groupVersion = schema.GroupVersion{Group: "modelcache.io", Version: "v1alpha1"}

// kinds of the objects that policies are about, by group and resource.
var kinds = map[string]schema.GroupVersionKind{
	"batch/jobs":                {Group: "batch", Version: "v1", Kind: "Job"},
	"/persistentvolumes":        {Version: "v1", Kind: "PersistentVolume"},
	"/persistentvolumeclaims":   {Version: "v1", Kind: "PersistentVolumeClaim"},
	"modelcache.io/modelcaches": groupVersion.WithKind("ModelCache"),
}

func compatibility() string { return environment.DefaultCompatibilityVersion().String() }

// policies is the admission plugin ValidatingAdmissionPolicy, with these policies and bindings in the cluster.
type policies struct{ plugin *validating.Plugin }

// newPolicies finds what the policies break, then starts the plugin on them.
func newPolicies(ctx context.Context, group Group) (server, []string) {
	// Each is asked about in this namespace, which the plugin looks up.
	installed := []runtime.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "models"}}}
	var faults []string
	for _, text := range group.Policies {
		object, err := policyObject(text)
		if err != nil {
			return nil, append(faults, "an object cannot be read: "+err.Error())
		}
		if policy, isPolicy := object.(*admissionv1.ValidatingAdmissionPolicy); isPolicy {
			faults = append(faults, policyFaults(policy, group.Definition)...)
		}
		installed = append(installed, object)
	}
	plugin, err := startPlugin(ctx, installed)
	if err != nil {
		return nil, append(faults, "the plugin does not start: "+err.Error())
	}
	return &policies{plugin}, faults
}

// policyObject reads a policy or a binding, with the defaults of the API server.
func policyObject(text json.RawMessage) (runtime.Object, error) {
	var kind metav1.TypeMeta
	if err := json.Unmarshal(text, &kind); err != nil {
		return nil, err
	}
	if kind.Kind == "ValidatingAdmissionPolicyBinding" {
		binding := &admissionv1.ValidatingAdmissionPolicyBinding{}
		return binding, strictly(text, binding)
	}
	policy := &admissionv1.ValidatingAdmissionPolicy{}
	if err := strictly(text, policy); err != nil {
		return nil, err
	}
	equivalent, every := admissionv1.Equivalent, admissionv1.AllScopes
	constraints := policy.Spec.MatchConstraints
	if constraints == nil {
		return nil, fmt.Errorf("%s has no matchConstraints", policy.Name)
	}
	constraints.MatchPolicy = &equivalent
	constraints.NamespaceSelector = &metav1.LabelSelector{}
	constraints.ObjectSelector = &metav1.LabelSelector{}
	for index := range constraints.ResourceRules {
		constraints.ResourceRules[index].Scope = &every
	}
	return policy, nil
}

func startPlugin(ctx context.Context, installed []runtime.Object) (*validating.Plugin, error) {
	plugin, err := validating.NewPlugin(nil)
	if err != nil {
		return nil, err
	}
	client := fake.NewClientset(installed...)
	factory := informers.NewSharedInformerFactory(client, 0)
	initializer.New(client, dynamicfake.NewSimpleDynamicClient(scheme.Scheme), factory, authorizerfactory.NewAlwaysAllowAuthorizer(),
		utilfeature.DefaultFeatureGate, basecompatibility.NewEffectiveVersionFromString("1.36", "", ""), ctx.Done(), mapper()).Initialize(plugin)
	if err := plugin.ValidateInitialization(); err != nil {
		return nil, err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	if !plugin.WaitForReady() {
		return nil, fmt.Errorf("not ready after %v", 10*time.Second)
	}
	return plugin, nil
}

// object reads one of the request's objects, of its own Go type where there is one, as the server has it at admission.
func object(text json.RawMessage, kind schema.GroupVersionKind) (runtime.Object, error) {
	if len(text) == 0 || string(text) == "null" {
		return nil, nil
	}
	value, err := scheme.Scheme.New(kind)
	if err != nil {
		value := &unstructured.Unstructured{}
		return value, value.UnmarshalJSON(text)
	}
	if err := strictly(text, value); err != nil {
		return nil, err
	}
	value.GetObjectKind().SetGroupVersionKind(kind)
	return value, nil
}

func (p *policies) answer(ctx context.Context, request Case) (string, error) {
	kind, known := kinds[request.Resource]
	if !known {
		return "", fmt.Errorf("no resource %s", request.Resource)
	}
	now, err := object(request.Object, kind)
	if err != nil {
		return "", err
	}
	old, err := object(request.OldObject, kind)
	if err != nil {
		return "", err
	}
	var metadata struct{ Metadata metav1.ObjectMeta }
	for _, text := range []json.RawMessage{request.OldObject, request.Object} {
		if len(text) > 0 {
			_ = json.Unmarshal(text, &metadata)
		}
	}
	_, plural, _ := strings.Cut(request.Resource, "/")
	attributes := admission.NewAttributesRecord(now, old, kind, metadata.Metadata.Namespace, metadata.Metadata.Name,
		kind.GroupVersion().WithResource(plural), "", admission.Operation(request.Operation), nil, false, &user.DefaultInfo{Name: request.User})
	if err := p.plugin.Validate(ctx, attributes, admission.NewObjectInterfacesFromScheme(scheme.Scheme)); err != nil {
		return err.Error(), nil
	}
	return "", nil
}
