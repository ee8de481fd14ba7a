package store

import "testing"

func TestAKeyHasAModelOfItsOwn(t *testing.T) {
	s := open(t, Memory)
	must(t, s.AddKey(t.Context(), Key{ID: "ak-1", Name: "mine", Hash: "h"}))
	is := func(when string, want KeyModel) {
		t.Helper()
		if got, err := s.KeyModel(t.Context(), "ak-1"); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", when, got, err, want)
		}
	}
	is("at first", KeyModel{})
	for _, m := range []KeyModel{{"https://a/v1", "small", "s1"}, {"https://b/v1", "large", ""}, {}, {"https://a/v1", "small", "s1"}} {
		must(t, s.SetKeyModel(t.Context(), "ak-1", m))
		is("set", m)
	}
	if err := s.SetKeyModel(t.Context(), "ak-2", KeyModel{URL: "https://a/v1"}); err == nil {
		t.Error("a key that is not there has a model")
	}
	must(t, s.DeleteKey(t.Context(), "ak-1"))
	is("of a key that was deleted", KeyModel{})
}
