package rpc

import (
	"encoding/json"
	"testing"
)

func TestPeopleSolveCaptchasAndLogIn(t *testing.T) {
	for options, want := range map[string]bool{
		`{}`: false, `{"solveCaptchas": false, "autoLogin": false, "callForUser": false}`: false,
		`{"solveCaptchas": true}`: true, `{"autoLogin": true}`: true, `{"callForUser": true}`: true,
	} {
		var o browserOption
		if err := json.Unmarshal([]byte(options), &o); err != nil {
			t.Fatal(err)
		}
		if got := o.in().CallForUser; got != want {
			t.Errorf("%s: a model may call for a person: %v", options, got)
		}
	}
}
