package rpc

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/agentbay/agentbay"
)

// A policyData is a sync policy as clients send it and are told of it. Every
// part of it may be absent or null, which means what it is by default.
type policyData struct {
	Upload   uploadData   `json:"uploadPolicy"`
	Download downloadData `json:"downloadPolicy"`
	Delete   deleteData   `json:"deletePolicy"`
	Extract  extractData  `json:"extractPolicy"`
	Recycle  recycleData  `json:"recyclePolicy"`
	Lists    listsData    `json:"bwList"`
	Mapping  *mappingData `json:"mappingPolicy,omitempty"`
}

type uploadData struct {
	Auto     bool   `json:"autoUpload"`
	Strategy string `json:"uploadStrategy"`
	Mode     string `json:"uploadMode"`
}

type downloadData struct {
	Auto     bool   `json:"autoDownload"`
	Strategy string `json:"downloadStrategy"`
}

type deleteData struct {
	Sync bool `json:"syncLocalFile"`
}

type extractData struct {
	Extract       bool  `json:"extract"`
	DeleteSource  bool  `json:"deleteSrcFile"`
	CurrentFolder bool  `json:"extractToCurrentFolder"`
	Current       *bool `json:"extractCurrentFolder,omitempty"` // the same, as some clients spell it
}

type recycleData struct {
	Lifecycle string   `json:"lifecycle"`
	Paths     []string `json:"paths"`
}

type listsData struct {
	White []whiteData `json:"whiteLists"`
}

type whiteData struct {
	Path    string   `json:"path"`
	Exclude []string `json:"excludePaths"`
}

type mappingData struct {
	Path string `json:"path"`
}

// The words of a policy. Some clients shout them and put underscores between.
const (
	uploadAtRelease = "UploadBeforeResourceRelease"
	uploadFiles     = "File"
	uploadArchive   = "Archive"
	downloadAsync   = "DownloadAsync"
	forever         = "Lifecycle_Forever"
)

// maxPolicy is how long the text of a policy may be.
const maxPolicy = 64 << 10

// parsePolicy reads a policy; an empty text is the default.
func parsePolicy(text string) (agentbay.SyncPolicy, error) {
	if text == "" {
		return agentbay.DefaultSyncPolicy, nil
	}
	if len(text) > maxPolicy {
		return agentbay.SyncPolicy{}, agentbay.Errorf(agentbay.Invalid, "the policy is longer than %d bytes; name directories instead of files", maxPolicy)
	}
	d := defaultPolicy()
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return agentbay.SyncPolicy{}, agentbay.Wrap(err, agentbay.Invalid, "the policy is not the JSON it should be: %s", jsonProblem(err))
	}
	if err := d.check(); err != nil {
		return agentbay.SyncPolicy{}, err
	}
	return d.policy()
}

// defaultPolicy is what a policy says that says nothing.
func defaultPolicy() policyData {
	return policyData{
		Upload:   uploadData{Auto: true},
		Download: downloadData{Auto: true},
		Delete:   deleteData{Sync: true},
		Extract:  extractData{Extract: true, DeleteSource: true},
		Recycle:  recycleData{Paths: []string{""}},
	}
}

// check refuses the words there are none of. What the policy means for a mount
// is the core's to judge.
func (d *policyData) check() error {
	for _, x := range []struct{ name, word, known string }{
		{"uploadStrategy", d.Upload.Strategy, uploadAtRelease},
		{"downloadStrategy", d.Download.Strategy, downloadAsync},
	} {
		if x.word != "" && !sameWord(x.word, x.known) {
			return unknownWord(x.name, x.word, x.known)
		}
	}
	return nil
}

func unknownWord(name, word, known string) error {
	return agentbay.Errorf(agentbay.Invalid, "the policy's %s cannot be %q; there is %s", name, clip(word), known)
}

// sameWord compares words without regard to case and underscores.
func sameWord(a, b string) bool {
	return strings.EqualFold(strings.ReplaceAll(a, "_", ""), strings.ReplaceAll(b, "_", ""))
}

// policy is what the client means.
func (d *policyData) policy() (p agentbay.SyncPolicy, err error) {
	p = agentbay.SyncPolicy{
		ManualUpload:   !d.Upload.Auto,
		ManualDownload: !d.Download.Auto,
		KeepDeleted:    !d.Delete.Sync,
		Extract:        agentbay.ExtractPolicy{Extract: d.Extract.Extract, DeleteSource: d.Extract.DeleteSource, CurrentFolder: d.Extract.CurrentFolder},
		WhiteList:      d.Lists.lists(),
	}
	if d.Extract.Current != nil {
		p.Extract.CurrentFolder = *d.Extract.Current
	}
	if d.Mapping != nil {
		p.Mapping = d.Mapping.Path
	}
	if p.Archive, err = archiveNamed(d.Upload.Mode); err != nil {
		return p, err
	}
	p.Recycle, err = d.Recycle.policy()
	return p, err
}

func archiveNamed(mode string) (bool, error) {
	switch {
	case mode == "", sameWord(mode, uploadFiles):
		return false, nil
	case sameWord(mode, uploadArchive):
		return true, nil
	}
	return false, unknownWord("uploadMode", mode, uploadFiles+" and "+uploadArchive)
}

// policy is a recycle policy. Which files a policy without paths would remove
// is not guessed.
func (d recycleData) policy() (p agentbay.RecyclePolicy, err error) {
	if p.Days, err = daysNamed(d.Lifecycle); err != nil {
		return p, err
	}
	everything := d.Paths == nil || len(d.Paths) == 1 && d.Paths[0] == ""
	switch {
	case p.Days == 0 && (everything || len(d.Paths) == 0):
		return p, nil
	case d.Paths != nil && len(d.Paths) == 0:
		return p, agentbay.Errorf(agentbay.Invalid, `the policy's recyclePolicy has a lifecycle and no paths; the path "" is everything`)
	case everything:
		p.Paths = []string{""}
	default:
		p.Paths = d.Paths
	}
	return p, nil
}

// lifecycle is the word for a number of days.
func lifecycle(days int) string {
	switch days {
	case 0:
		return forever
	case 1:
		return "Lifecycle_1Day"
	}
	return fmt.Sprintf("Lifecycle_%dDays", days)
}

// lifecycleForm is such a word, as all clients spell it.
var lifecycleForm = regexp.MustCompile(`(?i)^lifecycle_?([0-9]{1,4})_?days?$`)

// daysNamed is the number of days in such a word. Which numbers there are is
// the core's to say.
func daysNamed(word string) (int, error) {
	if word == "" || sameWord(word, forever) {
		return 0, nil
	}
	found := lifecycleForm.FindStringSubmatch(word)
	if found == nil {
		return 0, unknownWord("lifecycle", word, forever+", Lifecycle_1Day, Lifecycle_3Days and so on")
	}
	return strconv.Atoi(found[1])
}

// lists is what is moved. Clients say with one empty path that it is everything.
func (d listsData) lists() (list []agentbay.WhiteList) {
	if len(d.White) == 1 && d.White[0].Path == "" && len(d.White[0].Exclude) == 0 {
		return nil
	}
	for _, w := range d.White {
		list = append(list, agentbay.WhiteList{Path: w.Path, Exclude: append([]string(nil), w.Exclude...)})
	}
	return list
}

// policyText is a policy as clients are told of it, with all its words.
func policyText(p agentbay.SyncPolicy) string {
	d := policyData{
		Upload:   uploadData{!p.ManualUpload, uploadAtRelease, uploadFiles},
		Download: downloadData{!p.ManualDownload, downloadAsync},
		Delete:   deleteData{!p.KeepDeleted},
		Extract:  extractData{Extract: p.Extract.Extract, DeleteSource: p.Extract.DeleteSource, CurrentFolder: p.Extract.CurrentFolder},
		Recycle:  recycleData{lifecycle(p.Recycle.Days), p.Recycle.Paths},
	}
	if p.Archive {
		d.Upload.Mode = uploadArchive
	}
	if d.Recycle.Paths == nil {
		d.Recycle.Paths = []string{""}
	}
	for _, w := range p.WhiteList {
		d.Lists.White = append(d.Lists.White, whiteData{w.Path, append([]string{}, w.Exclude...)})
	}
	if len(p.WhiteList) == 0 {
		d.Lists.White = []whiteData{{Exclude: []string{}}}
	}
	if p.Mapping != "" {
		d.Mapping = &mappingData{p.Mapping}
	}
	return string(encode(d))
}
