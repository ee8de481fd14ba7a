package runtime

// Abilities names the optional interfaces rt implements, for doctor and the API.
func Abilities(rt Runtime) (names []string) {
	if _, ok := rt.(Meter); ok {
		names = append(names, "meter")
	}
	return names
}
