package rpc

import (
	"encoding/json"
	"errors"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/agentbay/agentbay"
)

// Params are the parameters of an action, from query and form alike.
type params struct{ url.Values }

// get returns the first value of a parameter that is not empty: clients send
// empty ones for what they do not mean.
func (p params) get(name string) string {
	for _, v := range p.Values[name] {
		if v != "" {
			return v
		}
	}
	return ""
}

// readParams merges the query with the form in the body. Clients split their
// parameters between the two as they please.
func (d *Door) readParams(x *exchange) (p params, done func(), err error) {
	body, done, err := d.readBody(x, d.MaxAction)
	if err != nil {
		return p, nil, err
	}
	p, err = parseParams(x.r.URL.RawQuery, string(body))
	if err != nil {
		done()
		return p, nil, err
	}
	return p, done, nil
}

func parseParams(query, form string) (params, error) {
	p := params{url.Values{}}
	for _, part := range []string{query, form} {
		values, err := url.ParseQuery(part)
		if err != nil {
			return p, agentbay.Wrap(err, agentbay.Invalid, "the parameters are not form-encoded")
		}
		for name, vs := range values {
			p.Values[name] = append(p.Values[name], vs...)
		}
	}
	return p, nil
}

// decode fills the struct that into points to. A field's tag names its
// parameter, which must be there if the tag says so: `param:"SessionId,required"`.
// Strings, numbers and booleans are as text; anything else is JSON.
func (p params) decode(into any) error {
	v := reflect.ValueOf(into).Elem()
	for i := range v.NumField() {
		name, option, _ := strings.Cut(v.Type().Field(i).Tag.Get("param"), ",")
		text := p.get(name)
		if text == "" && option == "required" {
			return agentbay.Errorf(agentbay.Invalid, "parameter %s is missing", name)
		}
		if text == "" {
			continue
		}
		if err := decodeParam(v.Field(i), name, text); err != nil {
			return err
		}
	}
	return nil
}

func decodeParam(field reflect.Value, name, text string) error {
	if !utf8.ValidString(text) {
		return agentbay.Errorf(agentbay.Invalid, "parameter %s is not UTF-8", name)
	}
	switch field.Kind() {
	case reflect.String:
		field.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(strings.ToLower(text))
		if err != nil {
			return agentbay.Errorf(agentbay.Invalid, "parameter %s must be true or false", name)
		}
		field.SetBool(b)
	case reflect.Pointer:
		if field.Type().Elem().Kind() != reflect.Bool {
			return decodeJSON(field, name, text)
		}
		field.Set(reflect.New(field.Type().Elem())) // there is a difference between false and nothing
		return decodeParam(field.Elem(), name, text)
	case reflect.Int:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return agentbay.Errorf(agentbay.Invalid, "parameter %s must be a whole number", name)
		}
		field.SetInt(n)
	default:
		return decodeJSON(field, name, text)
	}
	return nil
}

func decodeJSON(field reflect.Value, name, text string) error {
	if err := json.Unmarshal([]byte(text), field.Addr().Interface()); err != nil {
		return agentbay.Wrap(err, agentbay.Invalid, "parameter %s is not the JSON it should be: %s", name, jsonProblem(err))
	}
	return nil
}

// jsonProblem says what is wrong with a client's JSON, in its terms.
func jsonProblem(err error) string {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		return wrongType.Value + " instead of " + kindName(wrongType.Type)
	}
	return "it does not parse"
}

func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Map, reflect.Struct:
		return "object"
	case reflect.Slice:
		return "array"
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "string"
	}
	return "number"
}
