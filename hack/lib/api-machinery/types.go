package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	structuralmodel "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/cel/openapi/resolver"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/kube-openapi/pkg/validation/spec"

	celgo "cel.dev/cel-go/cel"
)

func mapper() meta.RESTMapper {
	made := meta.NewDefaultRESTMapper(nil)
	for _, kind := range kinds {
		made.Add(kind, meta.RESTScopeNamespace)
	}
	return made
}

// condition is a match condition to the compiler.
type condition string

func (c condition) GetExpression() string      { return string(c) }
func (c condition) ReturnTypes() []*celgo.Type { return []*celgo.Type{celgo.BoolType} }

// policyFaults is what the API server refuses the policy for, and what its type check writes into the policy's status.
func policyFaults(policy *admissionv1.ValidatingAdmissionPolicy, definition json.RawMessage) []string {
	var faults []string
	told := func(where string, words any) {
		faults = append(faults, fmt.Sprintf("%s: %s: %v", policy.Name, where, words))
	}
	compiler, err := plugincel.NewCompositedCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	if err != nil {
		return []string{err.Error()}
	}
	options := plugincel.OptionalVariableDeclarations{HasAuthorizer: true}
	for _, one := range policy.Spec.Variables {
		variable := &validating.Variable{Name: one.Name, Expression: one.Expression}
		if result := compiler.CompileAndStoreVariable(variable, options, environment.NewExpressions); result.Error != nil {
			told("variable "+one.Name, result.Error)
		}
		if len(validation.IsCIdentifier(one.Name)) > 0 {
			told("variable "+one.Name, "no identifier")
		}
	}
	for _, one := range policy.Spec.MatchConditions {
		if result := compiler.CompileCELExpression(condition(one.Expression), options, environment.NewExpressions); result.Error != nil {
			told("match condition "+one.Name, result.Error)
		}
		if len(validation.IsQualifiedName(one.Name)) > 0 {
			told("match condition "+one.Name, "no qualified name")
		}
	}
	for _, one := range policy.Spec.Validations {
		rule := &validating.ValidationCondition{Expression: one.Expression, Message: one.Message}
		if result := compiler.CompileCELExpression(rule, options, environment.NewExpressions); result.Error != nil {
			told(one.Message, result.Error)
		}
		if strings.Contains(one.Message, "\n") {
			told(one.Message, "a message of several lines")
		}
	}
	checker := validating.TypeChecker{SchemaResolver: schemas{definition}, RestMapper: mapper()}
	for _, warning := range checker.Check(inlined(policy)) {
		told("type check of "+warning.FieldRef, strings.TrimSpace(warning.Warning))
	}
	return faults
}

// inlined is the policy with its variables written out: to the type check a variable's fields are of any type.
func inlined(policy *admissionv1.ValidatingAdmissionPolicy) *admissionv1.ValidatingAdmissionPolicy {
	made := policy.DeepCopy()
	made.Spec.Variables = nil
	// The last one first, for it may name those before it.
	for _, variable := range slices.Backward(policy.Spec.Variables) {
		word := regexp.MustCompile(`\bvariables\.` + variable.Name + `\b`)
		for index := range made.Spec.Validations {
			rule := &made.Spec.Validations[index]
			rule.Expression = word.ReplaceAllLiteralString(rule.Expression, "("+variable.Expression+")")
		}
	}
	return made
}

// schemas gives the type check the schema of each kind: of Kubernetes' own Go types, and of the definition.
type schemas struct{ definition json.RawMessage }

func (s schemas) ResolveSchema(kind schema.GroupVersionKind) (*spec.Schema, error) {
	if example, err := scheme.Scheme.New(kind); err == nil {
		made := schemaOf(reflect.TypeOf(example))
		return &made, nil
	}
	if kind.GroupVersion() != groupVersion {
		return nil, resolver.ErrSchemaNotFound
	}
	internal, err := internalDefinition(s.definition)
	if err != nil {
		return nil, err
	}
	served, err := serve(internal)
	if err != nil {
		return nil, err
	}
	made := structuralmodel.WithTypeAndObjectMeta(served.structural).ToKubeOpenAPI()
	made.Properties["metadata"] = schemaOf(reflect.TypeOf(metav1.ObjectMeta{}))
	return made, nil
}

func typed(name string) spec.Schema {
	return spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{name}}}
}

// schemaOf is the OpenAPI schema of a Go type of the API: Debian packages no generated ones.
func schemaOf(of reflect.Type) spec.Schema {
	switch of {
	case reflect.TypeOf(metav1.Time{}), reflect.TypeOf(metav1.MicroTime{}):
		made := typed("string")
		made.Format = "date-time"
		return made
	case reflect.TypeOf(resource.Quantity{}), reflect.TypeOf(intstr.IntOrString{}):
		return spec.Schema{VendorExtensible: spec.VendorExtensible{Extensions: spec.Extensions{"x-kubernetes-int-or-string": true}}}
	case reflect.TypeOf(metav1.FieldsV1{}):
		return typed("object")
	}
	switch of.Kind() {
	case reflect.Pointer:
		return schemaOf(of.Elem())
	case reflect.String:
		return typed("string")
	case reflect.Bool:
		return typed("boolean")
	case reflect.Int, reflect.Int32, reflect.Int64:
		return typed("integer")
	case reflect.Slice:
		items, made := schemaOf(of.Elem()), typed("array")
		made.Items = &spec.SchemaOrArray{Schema: &items}
		return made
	case reflect.Map:
		values, made := schemaOf(of.Elem()), typed("object")
		made.AdditionalProperties = &spec.SchemaOrBool{Allows: true, Schema: &values}
		return made
	case reflect.Struct:
		made := typed("object")
		made.Properties = map[string]spec.Schema{}
		addFields(of, made.Properties)
		return made
	}
	panic(fmt.Sprintf("no schema for %v", of))
}

func addFields(of reflect.Type, properties map[string]spec.Schema) {
	for index := range of.NumField() {
		member := of.Field(index)
		name, _, _ := strings.Cut(member.Tag.Get("json"), ",")
		if name != "" && name != "-" {
			properties[name] = schemaOf(member.Type)
		} else if member.Anonymous {
			addFields(member.Type, properties)
		}
	}
}
