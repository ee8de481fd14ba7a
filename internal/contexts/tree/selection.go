package tree

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/contexts"
)

// A Selection is the part of a context that a mount moves. The zero Selection
// is all of a context.
type Selection struct {
	prefix string
	parts  []part // empty means everything
}

// A part is a white list: a path below the prefix, and what is left out of it,
// as paths below the prefix too.
type part struct {
	path    string
	exclude []string
}

// The bounds of a policy: each path of a tree is held against all of it.
const maxParts, maxExcludes = 1000, 10_000

// lifecycles are the ages at which files can be recycled, in days; 0 is never.
var lifecycles = []int{0, 1, 3, 5, 10, 15, 30, 90, 180, 360}

// Select returns what a mount moves.
//
// Invalid: the mount or its policy would silently do something else than it
// says: the path is not absolute or the whole system; a list has a wildcard, an
// entry with the mount's own path, or one that leads out of the mount; or the
// recycling time is none of those there are. The message names the entry.
func Select(m agentbay.ContextMount) (Selection, error) {
	mount, err := mountKey(m.Path, "mount path")
	if err != nil {
		return Selection{}, err
	}
	if mount == "" {
		return Selection{}, agentbay.Errorf(agentbay.Invalid, "a context cannot be mounted at %q; choose a directory below it", m.Path)
	}
	s := Selection{prefix: mount}
	if m.Policy.Mapping != "" {
		if s.prefix, err = mountKey(m.Policy.Mapping, "mapping path"); err != nil {
			return Selection{}, err
		}
	}
	if err := checkRecycle(m.Policy.Recycle, m.Path, mount); err != nil {
		return Selection{}, err
	}
	s.parts, err = selectParts(m.Policy.WhiteList, m.Path, mount)
	return s, err
}

func mountKey(path, what string) (string, error) {
	if !strings.HasPrefix(path, "/") && !hasDrive(path) {
		return "", agentbay.Errorf(agentbay.Invalid, "%s %.300q is not absolute; write it as /tmp/data or C:/Users/me", what, path)
	}
	return Key(path)
}

func checkRecycle(r agentbay.RecyclePolicy, path, mount string) error {
	if !slices.Contains(lifecycles, r.Days) {
		return agentbay.Errorf(agentbay.Invalid, "files cannot be recycled after %d days; choose one of %v, where 0 is never", r.Days, lifecycles)
	}
	if len(r.Paths) > maxParts {
		return agentbay.Errorf(agentbay.Invalid, "a recycle policy has at most %d paths", maxParts)
	}
	for _, entry := range r.Paths {
		if _, err := relative(entry, "recycle path", path, mount); err != nil {
			return err
		}
	}
	return nil
}

// selectParts returns the white lists, or none if one of them is everything.
func selectParts(lists []agentbay.WhiteList, path, mount string) ([]part, error) {
	if len(lists) > maxParts {
		return nil, agentbay.Errorf(agentbay.Invalid, "a mount has at most %d white lists", maxParts)
	}
	var parts []part
	excludes, all := 0, false
	for _, list := range lists {
		p, err := selectPart(list, path, mount)
		if err != nil {
			return nil, err
		}
		if excludes += len(p.exclude); excludes > maxExcludes {
			return nil, agentbay.Errorf(agentbay.Invalid, "a mount excludes at most %d paths", maxExcludes)
		}
		all = all || p.path == "" && len(p.exclude) == 0
		parts = append(parts, p)
	}
	if all {
		return nil, nil
	}
	slices.SortFunc(parts, func(a, b part) int { return contexts.Compare(a.path, b.path) })
	return parts, nil
}

func selectPart(list agentbay.WhiteList, path, mount string) (p part, err error) {
	if p.path, err = relative(list.Path, "white list entry", path, mount); err != nil {
		return p, err
	}
	for _, entry := range list.Exclude {
		rel, err := relative(entry, "exclude path", path, mount)
		if err != nil {
			return p, err
		}
		if rel == "" {
			return p, agentbay.Errorf(agentbay.Invalid, "exclude path %q leaves nothing of white list entry %q; leave that entry out", entry, list.Path)
		}
		p.exclude = append(p.exclude, join(p.path, rel))
	}
	slices.SortFunc(p.exclude, contexts.Compare)
	return p, nil
}

// relative returns a policy's path as one below the mount.
func relative(entry, what, path, mount string) (string, error) {
	if i := strings.IndexAny(entry, "*?["); i >= 0 {
		return "", agentbay.Errorf(agentbay.Invalid, "%s %.300q has the wildcard %q, and there are none here; name the directory", what, entry, entry[i])
	}
	form := entry
	if hasDrive(mount) {
		form = strings.ReplaceAll(entry, `\`, "/")
	}
	rel, err := clean(unixForm(form))
	if err == nil && len(entry) > maxPath {
		err = flaw("is too long")
	}
	if err != nil {
		return "", agentbay.Errorf(agentbay.Invalid, "%s %.300q %s", what, entry, err)
	}
	absolute := strings.HasPrefix(form, "/") && (rel == mount || contexts.Below(rel, mount))
	if absolute || hasDrive(rel) {
		return "", agentbay.Errorf(agentbay.Invalid, "%s %.300q is absolute; write it relative to the mount %s", what, entry, path)
	}
	return rel, nil
}

// Prefix returns the key below which the selected files are. It is the mount's
// path, or the path it is mapped from.
func (s Selection) Prefix() string { return s.prefix }

// Key returns the key of what is at rel below the mount.
func (s Selection) Key(rel string) string { return join(s.prefix, rel) }

// Rel returns where below the mount a key is, and whether it is there.
func (s Selection) Rel(key string) (string, bool) {
	switch {
	case s.prefix == "":
		return key, true
	case key == s.prefix:
		return "", true
	case contexts.Below(key, s.prefix):
		return key[len(s.prefix)+1:], true
	}
	return "", false
}

// Match reports whether what is at rel below the mount is selected, and whether
// something below it may be.
func (s Selection) Match(rel string) (in, within bool) {
	if len(s.parts) == 0 {
		return true, true
	}
	for _, p := range s.parts {
		switch {
		case contexts.Below(p.path, rel):
			within = true
		case (rel == p.path || contexts.Below(rel, p.path)) && !p.excludes(rel):
			return true, true
		}
	}
	return false, within
}

// names reports whether a part is exactly what is at rel.
func (s Selection) names(rel string) bool {
	return slices.ContainsFunc(s.parts, func(p part) bool { return p.path == rel })
}

func (p part) excludes(rel string) bool {
	return slices.ContainsFunc(p.exclude, func(e string) bool { return rel == e || contexts.Below(rel, e) })
}

// paths returns the selected parts, sorted and none inside another; "" alone if
// that is everything.
func (s Selection) paths() (all []string) {
	if len(s.parts) == 0 {
		return []string{""}
	}
	for _, p := range s.parts {
		if n := len(all); n == 0 || p.path != all[n-1] && !contexts.Below(p.path, all[n-1]) {
			all = append(all, p.path)
		}
	}
	return all
}

// whole reports whether all below rel is selected.
func (s Selection) whole(rel string) bool {
	in, _ := s.Match(rel)
	return in && !slices.ContainsFunc(s.parts, func(p part) bool {
		return slices.ContainsFunc(p.exclude, func(e string) bool { return contexts.Below(e, rel) })
	})
}

// lineage names all views that are checked out the same way.
func (v View) lineage() string {
	h := sha256.New()
	text := func(s string) {
		h.Write(binary.AppendUvarint(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	text(v.Tenant)
	text(string(v.Context))
	text(v.Selection.prefix)
	for _, p := range v.Selection.parts {
		text(p.path)
		h.Write(binary.AppendUvarint(nil, uint64(len(p.exclude))))
		for _, e := range p.exclude {
			text(e)
		}
	}
	options := []byte{0, 0, 0}
	for i, on := range []bool{v.Extract.Extract, v.Extract.DeleteSource, v.Extract.CurrentFolder} {
		if on {
			options[i] = 1
		}
	}
	h.Write(options)
	h.Write(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, v.UID), v.GID))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// join puts two paths together, either of which may be empty.
func join(dir, rel string) string {
	switch {
	case dir == "":
		return rel
	case rel == "":
		return dir
	}
	return dir + "/" + rel
}
