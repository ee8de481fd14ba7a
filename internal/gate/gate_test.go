package gate

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSecretsHaveTheirForms(t *testing.T) {
	for name, tc := range map[string]struct {
		make func() string
		form string
	}{
		"key":     {NewKey, `^akm-[0-9A-Za-z]{40}$`},
		"token":   {NewToken, `^tok-[0-9A-Za-z]{43}$`},
		"session": {NewSessionID, `^session-[a-z2-7]{26}$`},
		"key ID":  {NewKeyID, `^ak-[a-z2-7]{16}$`},
		"request": {NewRequestID, `^[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}$`},
	} {
		form, seen := regexp.MustCompile(tc.form), map[string]bool{}
		for range 200 {
			s := tc.make()
			if !form.MatchString(s) || seen[s] {
				t.Fatalf("%s: %q does not look like %s, or came twice", name, s, tc.form)
			}
			seen[s] = true
		}
	}
}

func TestMatchWantsTheWholeSecret(t *testing.T) {
	for _, tc := range []struct {
		got, want string
		match     bool
	}{
		{"tok-a", "tok-a", true},
		{"tok-a", "tok-b", false},
		{"tok-", "tok-a", false},
		{"", "tok-a", false},
		{"", "", false},
	} {
		if Match(tc.got, tc.want) != tc.match {
			t.Errorf("Match(%q, %q) = %v, want %v", tc.got, tc.want, !tc.match, tc.match)
		}
	}
}

func TestScrubLeavesNoSecret(t *testing.T) {
	key, token := NewKey(), NewToken()
	for _, s := range []string{
		key,
		"/?Authorization=Bearer+" + key + "&Action=ListSession",
		`{"Authorization":"Bearer ` + key + `","token":"` + token + `"}`,
		"Authorization: bearer some.other/secret==",
		"/link/session-x?token=" + token,
	} {
		got := Scrub(s)
		for _, secret := range []string{key[8:], token[8:], "some.other"} {
			if strings.Contains(got, secret) {
				t.Errorf("Scrub(%q) = %q", s, got)
			}
		}
	}
	if s := "session-abc said akm-; all is well"; Scrub(s) != s {
		t.Errorf("Scrub(%q) = %q", s, Scrub(s))
	}
}

func FuzzScrub(f *testing.F) {
	f.Add("Bearer akm-0123456789")
	f.Add("tok-\xff")
	f.Fuzz(func(t *testing.T, s string) {
		once := Scrub(s)
		if utf8.ValidString(s) && !utf8.ValidString(once) {
			t.Errorf("Scrub(%q) = %q is not UTF-8", s, once)
		}
		if Scrub(once) != once {
			t.Errorf("Scrub(%q) = %q, and again %q", s, once, Scrub(once))
		}
	})
}
