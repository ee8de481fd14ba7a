package tool

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// A schema is as much of JSON Schema as arguments of tools need.
type schema struct {
	Type        string             `json:"type,omitempty"`
	Description string             `json:"description,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	Additional  *schema            `json:"additionalProperties,omitempty"`
}

// schemaOf describes In. A field's `doc` tag is its description; a field
// without omitempty is required.
func schemaOf[In any]() json.RawMessage {
	b, err := json.Marshal(describe(reflect.TypeFor[In]()))
	if err != nil {
		panic("tool: " + err.Error())
	}
	return b
}

func describe(t reflect.Type) *schema {
	switch t.Kind() {
	case reflect.String:
		return &schema{Type: "string"}
	case reflect.Bool:
		return &schema{Type: "boolean"}
	case reflect.Int, reflect.Int64:
		return &schema{Type: "integer"}
	case reflect.Float64:
		return &schema{Type: "number"}
	case reflect.Pointer:
		return describe(t.Elem())
	case reflect.Slice:
		return &schema{Type: "array", Items: describe(t.Elem())}
	case reflect.Map:
		return &schema{Type: "object", Additional: describe(t.Elem())}
	case reflect.Struct:
		return describeStruct(t)
	}
	return &schema{} // anything
}

func describeStruct(t reflect.Type) *schema {
	s := &schema{Type: "object", Properties: map[string]*schema{}}
	for _, f := range reflect.VisibleFields(t) { // those of embedded structs too
		name, required := member(f)
		if name == "" {
			continue
		}
		p := describe(f.Type)
		p.Description = f.Tag.Get("doc")
		s.Properties[name] = p
		if required {
			s.Required = append(s.Required, name)
		}
	}
	return s
}

// member is what a field is called in JSON, and whether it must be there.
func member(f reflect.StructField) (name string, required bool) {
	name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name, name != "" && !strings.Contains(options, "omitempty")
}

// missing names a member that in requires and args, from which it was decoded,
// do not have. Only a field that is zero can be missing, so args are seldom
// read again.
func missing(in reflect.Value, args json.RawMessage) string {
	var there map[string]json.RawMessage
	for _, f := range reflect.VisibleFields(in.Type()) {
		name, required := member(f)
		if !required || !in.FieldByIndex(f.Index).IsZero() {
			continue
		}
		if there == nil && json.Unmarshal(args, &there) != nil {
			return ""
		}
		if !slices.ContainsFunc(slices.Collect(maps.Keys(there)), func(k string) bool { return strings.EqualFold(k, name) }) {
			return name
		}
	}
	return ""
}
