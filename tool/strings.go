package tool

import (
	"encoding/json"
	"strings"
)

// Strings is a list of strings that clients send as a JSON array, as one string
// with commas, or as null.
type Strings []string

// UnmarshalJSON accepts all three forms.
func (s *Strings) UnmarshalJSON(b []byte) error {
	var list []string
	if err := json.Unmarshal(b, &list); err == nil {
		*s = list
		return nil
	}
	var one string
	if err := json.Unmarshal(b, &one); err != nil {
		return err
	}
	*s = nil
	for part := range strings.SplitSeq(one, ",") {
		if part = strings.TrimSpace(part); part != "" {
			*s = append(*s, part)
		}
	}
	return nil
}
