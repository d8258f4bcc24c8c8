package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsinstall "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	structuraldefaulting "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	schemaobjectmeta "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	structuralpruning "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	apiservervalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresource"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"
	strictjson "sigs.k8s.io/json"
)

var extensions = runtime.NewScheme()

func init() { apiextensionsinstall.Install(extensions) }

// definition is a CustomResourceDefinition that is served.
type definition struct {
	structural *structuralschema.Structural
	objects    interface {
		rest.RESTCreateStrategy
		rest.RESTUpdateStrategy
	}
	statuses rest.RESTUpdateStrategy
}

// strictly decodes as an API server does with fieldValidation=Strict.
func strictly(text json.RawMessage, value any) error {
	faults, err := strictjson.UnmarshalStrict(text, value)
	if err == nil && len(faults) > 0 {
		err = faults[0]
	}
	return err
}

// internalDefinition is the definition as the server keeps it, with its defaults.
func internalDefinition(text json.RawMessage) (*apiextensions.CustomResourceDefinition, error) {
	var external apiextensionsv1.CustomResourceDefinition
	if err := strictly(text, &external); err != nil {
		return nil, err
	}
	extensions.Default(&external)
	internal := &apiextensions.CustomResourceDefinition{}
	return internal, extensions.Convert(&external, internal, nil)
}

// newDefinition creates the definition, and serves its first version.
func newDefinition(ctx context.Context, text json.RawMessage) (server, []string) {
	internal, err := internalDefinition(text)
	if err != nil {
		return nil, []string{"the definition cannot be read: " + err.Error()}
	}
	strategy := customresourcedefinition.NewStrategy(extensions)
	strategy.PrepareForCreate(ctx, internal)
	if refused := strategy.Validate(ctx, internal); len(refused) > 0 {
		return nil, []string{"the definition is refused: " + words(refused)}
	}
	faults := strategy.WarningsOnCreate(ctx, internal)
	served, err := serve(internal)
	if err != nil {
		return nil, append(faults, "the definition cannot be served: "+err.Error())
	}
	return served, faults
}

// serve does what the server's handler of custom resources does before the first request.
func serve(internal *apiextensions.CustomResourceDefinition) (*definition, error) {
	version := internal.Spec.Versions[0]
	schemas := internal.Spec.Validation
	if version.Schema != nil {
		schemas = version.Schema
	}
	subresources := internal.Spec.Subresources
	if version.Subresources != nil {
		subresources = version.Subresources
	}
	structural, err := structuralschema.NewStructural(schemas.OpenAPIV3Schema)
	if err != nil {
		return nil, err
	}
	if err := structuraldefaulting.PruneDefaults(structural); err != nil {
		return nil, err
	}
	validator, _, err := apiservervalidation.NewSchemaValidator(schemas.OpenAPIV3Schema)
	if err != nil {
		return nil, err
	}
	statusSchema := schemas.OpenAPIV3Schema.Properties["status"]
	statusValidator, _, err := apiservervalidation.NewSchemaValidator(&statusSchema)
	if err != nil {
		return nil, err
	}
	kind := groupVersion.WithKind(internal.Spec.Names.Kind)
	strategy := customresource.NewStrategy(extensions, internal.Spec.Scope == apiextensions.NamespaceScoped, kind, validator,
		statusValidator, structural, subresources.Status, nil, nil)
	return &definition{structural, strategy, customresource.NewStatusStrategy(strategy)}, nil
}

// decoded reads an object as the server does: defaults, then what the schema does not name is dropped.
func (d *definition) decoded(text json.RawMessage) (*unstructured.Unstructured, error) {
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(text); err != nil {
		return nil, err
	}
	structuraldefaulting.Default(object.Object, d.structural)
	structuralpruning.PruneWithOptions(object.Object, d.structural, true, structuralschema.UnknownFieldPathOptions{})
	structuraldefaulting.PruneNonNullableNullsWithoutDefaults(object.Object, d.structural)
	if err, _ := schemaobjectmeta.CoerceWithOptions(nil, object.Object, d.structural, false, schemaobjectmeta.CoerceOptions{}); err != nil {
		return nil, err
	}
	return object, nil
}

func (d *definition) answer(ctx context.Context, request Case) (string, error) {
	object, err := d.decoded(request.Object)
	if err != nil {
		return err.Error(), nil
	}
	if request.Operation == "CREATE" {
		d.objects.PrepareForCreate(ctx, object)
		return words(d.objects.Validate(ctx, object)), nil
	}
	old, err := d.decoded(request.OldObject)
	if err != nil {
		return "", err
	}
	// An update names the version that it changes.
	object.SetResourceVersion("1")
	old.SetResourceVersion("1")
	var strategy rest.RESTUpdateStrategy = d.objects
	switch request.Operation {
	case "UPDATE":
	case "STATUS":
		strategy = d.statuses
	default:
		return "", fmt.Errorf("no operation %s", request.Operation)
	}
	strategy.PrepareForUpdate(ctx, object, old)
	return words(strategy.ValidateUpdate(ctx, object, old)), nil
}

// words joins what was refused, each with the field first, without the values.
func words(refused field.ErrorList) string {
	var lines []string
	for _, one := range refused {
		lines = append(lines, one.Field+": "+string(one.Type)+": "+one.Detail)
	}
	return strings.Join(lines, "; ")
}
