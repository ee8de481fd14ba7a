package agentbay

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// wireMount is a mount as it is asked for.
type wireMount struct {
	Context ContextID `json:"ContextId"`
	Path    string    `json:"Path"`
	Policy  string    `json:"Policy"` // wirePolicy as text
}

// mountList writes mounts as the wire has them.
func mountList(mounts []ContextMount) (string, error) {
	list := make([]wireMount, len(mounts))
	for i, m := range mounts {
		if err := m.checkText(); err != nil {
			return "", err
		}
		policy, err := json.Marshal(policyToWire(m.Policy))
		if err != nil {
			return "", Wrap(err, Invalid, "the policy of the mount at %q cannot be written as JSON", m.Path)
		}
		list[i] = wireMount{m.Context, m.Path, string(policy)}
	}
	b, err := json.Marshal(list)
	return string(b), Wrap(err, Invalid, "the mounts cannot be written as JSON")
}

// checkText refuses paths that JSON has no letters for.
func (m ContextMount) checkText() error {
	paths := slices.Concat([]string{m.Path, m.Policy.Mapping}, m.Policy.Recycle.Paths)
	for _, l := range m.Policy.WhiteList {
		paths = append(append(paths, l.Path), l.Exclude...)
	}
	for _, path := range paths {
		if !utf8.ValidString(path) {
			return Errorf(Invalid, "the path %q is not UTF-8; mount the directory above it", path)
		}
	}
	return nil
}

// wirePolicy is a sync policy as the wire has it. Its words for yes are our
// words for no where what is usual is our zero.
type wirePolicy struct {
	Upload struct {
		Auto     bool   `json:"autoUpload"`
		Strategy string `json:"uploadStrategy"`
		Mode     string `json:"uploadMode"`
	} `json:"uploadPolicy"`
	Download struct {
		Auto     bool   `json:"autoDownload"`
		Strategy string `json:"downloadStrategy"`
	} `json:"downloadPolicy"`
	Delete struct {
		Sync bool `json:"syncLocalFile"`
	} `json:"deletePolicy"`
	Extract struct {
		Extract       bool `json:"extract"`
		DeleteSource  bool `json:"deleteSrcFile"`
		CurrentFolder bool `json:"extractToCurrentFolder"`
	} `json:"extractPolicy"`
	Recycle struct {
		Lifecycle string   `json:"lifecycle"`
		Paths     []string `json:"paths"`
	} `json:"recyclePolicy"`
	Lists struct {
		White []wireWhiteList `json:"whiteLists"`
	} `json:"bwList"`
	Mapping *wireMapping `json:"mappingPolicy,omitempty"`
}

type wireWhiteList struct {
	Path    string   `json:"path"`
	Exclude []string `json:"excludePaths,omitempty"`
}

type wireMapping struct {
	Path string `json:"path"`
}

const (
	uploadStrategy   = "UploadBeforeResourceRelease"
	downloadStrategy = "DownloadAsync"
	uploadFile       = "File"
	uploadArchive    = "Archive"
	forever          = "Lifecycle_Forever"
)

func policyToWire(p SyncPolicy) (w wirePolicy) {
	w.Upload.Auto, w.Upload.Strategy, w.Upload.Mode = !p.ManualUpload, uploadStrategy, uploadFile
	if p.Archive {
		w.Upload.Mode = uploadArchive
	}
	w.Download.Auto, w.Download.Strategy = !p.ManualDownload, downloadStrategy
	w.Delete.Sync = !p.KeepDeleted
	w.Extract.Extract, w.Extract.DeleteSource, w.Extract.CurrentFolder = p.Extract.Extract, p.Extract.DeleteSource, p.Extract.CurrentFolder
	w.Recycle.Lifecycle, w.Recycle.Paths = lifecycle(p.Recycle.Days), p.Recycle.Paths
	if len(p.Recycle.Paths) == 0 {
		w.Recycle.Paths = []string{""}
	}
	w.Lists.White = []wireWhiteList{}
	for _, l := range p.WhiteList {
		w.Lists.White = append(w.Lists.White, wireWhiteList(l))
	}
	if p.Mapping != "" {
		w.Mapping = &wireMapping{p.Mapping}
	}
	return w
}

// lifecycle is the wire's word for a number of days.
func lifecycle(days int) string {
	switch days {
	case 0:
		return forever
	case 1:
		return "Lifecycle_1Day"
	}
	return fmt.Sprintf("Lifecycle_%dDays", days)
}

// daysOf is the number of days in such a word; 0 if there is none.
func daysOf(lifecycle string) (days int) {
	word := strings.TrimRight(strings.TrimPrefix(lifecycle, "Lifecycle_"), "Days")
	if _, err := fmt.Sscanf(word, "%d", &days); err != nil {
		return 0
	}
	return days
}

func (w wirePolicy) policy() SyncPolicy {
	p := SyncPolicy{
		ManualUpload:   !w.Upload.Auto,
		ManualDownload: !w.Download.Auto,
		Archive:        w.Upload.Mode == uploadArchive,
		KeepDeleted:    !w.Delete.Sync,
		Extract:        ExtractPolicy{w.Extract.Extract, w.Extract.DeleteSource, w.Extract.CurrentFolder},
		Recycle:        RecyclePolicy{Days: daysOf(w.Recycle.Lifecycle), Paths: w.Recycle.Paths},
	}
	if p.Recycle.Days == 0 && slices.Equal(p.Recycle.Paths, []string{""}) {
		p.Recycle.Paths = nil
	}
	for _, l := range w.Lists.White {
		if l.Path != "" || len(l.Exclude) > 0 {
			p.WhiteList = append(p.WhiteList, WhiteList{l.Path, slices.Clip(append([]string(nil), l.Exclude...))})
		}
	}
	if w.Mapping != nil {
		p.Mapping = w.Mapping.Path
	}
	return p
}
