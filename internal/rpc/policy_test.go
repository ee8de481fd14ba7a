package rpc

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/agentbay/agentbay"
)

func with(change func(*agentbay.SyncPolicy)) agentbay.SyncPolicy {
	p := agentbay.DefaultSyncPolicy
	change(&p)
	return p
}

func TestPolicyMeansWhatItSays(t *testing.T) {
	for text, want := range map[string]agentbay.SyncPolicy{
		``:     agentbay.DefaultSyncPolicy,
		`{}`:   agentbay.DefaultSyncPolicy,
		`null`: agentbay.DefaultSyncPolicy,
		`{"uploadPolicy":null,"downloadPolicy":null,"deletePolicy":null,"extractPolicy":null,"recyclePolicy":null,"bwList":null,"mappingPolicy":null}`: agentbay.DefaultSyncPolicy,
		`{"uploadPolicy":{"autoUpload":null,"uploadMode":null,"period":30},"syncPolicy":{"x":1}}`:                                                      agentbay.DefaultSyncPolicy,

		`{"uploadPolicy":{"autoUpload":false}}`:                                         with(func(p *agentbay.SyncPolicy) { p.ManualUpload = true }),
		`{"uploadPolicy":{"uploadStrategy":"UPLOAD_BEFORE_RESOURCE_RELEASE"}}`:          agentbay.DefaultSyncPolicy,
		`{"uploadPolicy":{"uploadMode":"Archive"}}`:                                     with(func(p *agentbay.SyncPolicy) { p.Archive = true }),
		`{"uploadPolicy":{"uploadMode":"ARCHIVE"}}`:                                     with(func(p *agentbay.SyncPolicy) { p.Archive = true }),
		`{"uploadPolicy":{"uploadMode":"FILE"}}`:                                        agentbay.DefaultSyncPolicy,
		`{"downloadPolicy":{"autoDownload":false,"downloadStrategy":"download_async"}}`: with(func(p *agentbay.SyncPolicy) { p.ManualDownload = true }),
		`{"deletePolicy":{"syncLocalFile":false}}`:                                      with(func(p *agentbay.SyncPolicy) { p.KeepDeleted = true }),

		`{"extractPolicy":{"extract":false}}`:               with(func(p *agentbay.SyncPolicy) { p.Extract.Extract = false }),
		`{"extractPolicy":{"deleteSrcFile":false}}`:         with(func(p *agentbay.SyncPolicy) { p.Extract.DeleteSource = false }),
		`{"extractPolicy":{"extractToCurrentFolder":true}}`: with(func(p *agentbay.SyncPolicy) { p.Extract.CurrentFolder = true }),
		`{"extractPolicy":{"extractCurrentFolder":true}}`:   with(func(p *agentbay.SyncPolicy) { p.Extract.CurrentFolder = true }),

		`{"recyclePolicy":{"lifecycle":"LIFECYCLE_FOREVER","paths":[]}}`: agentbay.DefaultSyncPolicy,
		`{"recyclePolicy":{"lifecycle":"Lifecycle_1Day"}}`:               with(func(p *agentbay.SyncPolicy) { p.Recycle = agentbay.RecyclePolicy{Days: 1, Paths: []string{""}} }),
		`{"recyclePolicy":{"lifecycle":"LIFECYCLE_3DAYS","paths":["/a","b/c"]}}`: with(func(p *agentbay.SyncPolicy) {
			p.Recycle = agentbay.RecyclePolicy{Days: 3, Paths: []string{"/a", "b/c"}}
		}),
		`{"recyclePolicy":{"paths":["/logs/*"]}}`: with(func(p *agentbay.SyncPolicy) { p.Recycle.Paths = []string{"/logs/*"} }), // the core's to refuse

		`{"bwList":{"whiteLists":[]}}`:                                 agentbay.DefaultSyncPolicy,
		`{"bwList":{"whiteLists":[{"path":""}]}}`:                      agentbay.DefaultSyncPolicy,
		`{"bwList":{"whiteLists":[{"path":"","excludePaths":["x"]}]}}`: with(func(p *agentbay.SyncPolicy) { p.WhiteList = []agentbay.WhiteList{{Exclude: []string{"x"}}} }),
		`{"bwList":{"whiteLists":[{"path":"ext-1"},{"path":"/Default/Cookies"}]}}`: with(func(p *agentbay.SyncPolicy) {
			p.WhiteList = []agentbay.WhiteList{{Path: "ext-1"}, {Path: "/Default/Cookies"}}
		}),
		`{"mappingPolicy":{"path":"C:\\Users\\x"}}`: with(func(p *agentbay.SyncPolicy) { p.Mapping = `C:\Users\x` }),
	} {
		got, err := parsePolicy(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s\nis %+v, %v\nwant %+v", text, got, err, want)
		}
	}
}

func TestEveryLifecycleHasItsWord(t *testing.T) {
	for _, days := range []int{1, 3, 5, 10, 15, 30, 90, 180, 360} {
		for _, word := range []string{lifecycle(days), strings.ToUpper(lifecycle(days))} {
			p, err := parsePolicy(`{"recyclePolicy":{"lifecycle":"` + word + `"}}`)
			if err != nil || p.Recycle.Days != days {
				t.Errorf("%s is %d days, %v; want %d", word, p.Recycle.Days, err, days)
			}
		}
	}
}

func TestPolicyWithUnknownWordsIsRefusedByName(t *testing.T) {
	for text, says := range map[string]string{
		`{"uploadPolicy":{"uploadStrategy":"Now"}}`:                           `uploadStrategy cannot be "Now"`,
		`{"uploadPolicy":{"uploadMode":"Zip"}}`:                               `uploadMode cannot be "Zip"`,
		`{"downloadPolicy":{"downloadStrategy":"Later"}}`:                     `downloadStrategy cannot be "Later"`,
		`{"recyclePolicy":{"lifecycle":"Lifecycle_Week"}}`:                    `lifecycle cannot be "Lifecycle_Week"`,
		`{"recyclePolicy":{"lifecycle":"Lifecycle_3Days","paths":[]}}`:        `the path "" is everything`,
		`{"uploadPolicy":{"autoUpload":"yes"}}`:                               "string instead of boolean",
		`{"bwList":{"whiteLists":{"path":""}}}`:                               "object instead of array",
		`{"bwList":`:                                                          "does not parse",
		`[]`:                                                                  "array instead of object",
		`{"mappingPolicy":{"path":"` + strings.Repeat("x", maxPolicy) + `"}}`: "longer than",
	} {
		_, err := parsePolicy(text)
		if agentbay.CodeOf(err) != agentbay.Invalid || !strings.Contains(agentbay.MessageOf(err), says) {
			t.Errorf("%.100s: %v, want Invalid that says %s", text, err, says)
		}
	}
}

func TestPolicyIsToldAsItWasAsked(t *testing.T) {
	if got, want := policyText(agentbay.DefaultSyncPolicy), `{"uploadPolicy":{"autoUpload":true,"uploadStrategy":"UploadBeforeResourceRelease","uploadMode":"File"},`+
		`"downloadPolicy":{"autoDownload":true,"downloadStrategy":"DownloadAsync"},"deletePolicy":{"syncLocalFile":true},`+
		`"extractPolicy":{"extract":true,"deleteSrcFile":true,"extractToCurrentFolder":false},`+
		`"recyclePolicy":{"lifecycle":"Lifecycle_Forever","paths":[""]},"bwList":{"whiteLists":[{"path":"","excludePaths":[]}]}}`; got != want {
		t.Errorf("the default policy is told as\n%s\nwant\n%s", got, want)
	}
	for _, want := range []agentbay.SyncPolicy{
		agentbay.DefaultSyncPolicy,
		{},
		{ManualUpload: true, ManualDownload: true, Archive: true, KeepDeleted: true, Extract: agentbay.ExtractPolicy{CurrentFolder: true},
			Recycle: agentbay.RecyclePolicy{Days: 360, Paths: []string{"a", "b"}}, WhiteList: []agentbay.WhiteList{{Path: "x", Exclude: []string{"y"}}, {Path: "<ü>"}}, Mapping: "C:/x"},
	} {
		got, err := parsePolicy(policyText(want))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v\ncame back as %+v, %v", want, got, err)
		}
	}
}

func TestListsOfMountsAreBounded(t *testing.T) {
	item := `{"ContextId":"c","Path":"/x"}`
	for name, tc := range map[string]struct{ list, says string }{
		"too many":        {"[" + strings.Repeat(item+",", maxMounts) + item + "]", "65 contexts are too many"},
		"too long":        {"[" + strings.Repeat(" ", maxMountList) + "]", "longer than"},
		"a long path":     {`[{"ContextId":"c","Path":"` + strings.Repeat("x", maxName+1) + `"}]`, "can each have 4096 bytes"},
		"no context":      {`[{"Path":"/x"}]`, "ContextId is missing"},
		"a policy object": {`[{"ContextId":"c","Path":"/x","Policy":{}}]`, "object instead of string"},
		"no list":         {`{}`, "object instead of array"},
	} {
		_, err := parseMounts(tc.list)
		if agentbay.CodeOf(err) != agentbay.Invalid || !strings.Contains(agentbay.MessageOf(err), tc.says) || len(agentbay.MessageOf(err)) > 1000 {
			t.Errorf("%s: %v, want Invalid that says %s", name, err, tc.says)
		}
	}
	mounts, err := parseMounts(`[{"ContextId":"c","Path":"/tmp/extensions/","Policy":null,"Extra":1},` + item + `]`)
	if err != nil || len(mounts) != 2 || mounts[0].Path != "/tmp/extensions/" || !reflect.DeepEqual(mounts[0].Policy, agentbay.DefaultSyncPolicy) {
		t.Errorf("two mounts are %+v, %v", mounts, err)
	}
}

// What clients have been seen to ask for: everything of one mount, and 19 parts
// of another.
func TestCapturedMountsAreUnderstood(t *testing.T) {
	seen := 0
	for _, sdk := range []string{"python", "typescript", "go", "java"} {
		for i, c := range captures[capture](t, sdk+".jsonl") {
			p, err := parseParams(strings.TrimPrefix(c.Target, "/?"), c.Body)
			if err != nil || c.Kind != "rpc" || p.get("PersistenceDataList") == "" {
				continue
			}
			seen++
			mounts, err := parseMounts(p.get("PersistenceDataList"))
			if err != nil || len(mounts) == 0 {
				t.Errorf("%s, line %d: %+v, %v", sdk, i+1, mounts, err)
			}
			for _, m := range mounts {
				want := agentbay.DefaultSyncPolicy
				if m.Path == "/tmp/agentbay_browser" {
					want.WhiteList = m.Policy.WhiteList
				}
				if !reflect.DeepEqual(m.Policy, want) || m.Path == "/tmp/agentbay_browser" && len(want.WhiteList) != 19 {
					t.Errorf("%s, line %d: %s has the policy %+v", sdk, i+1, m.Path, m.Policy)
				}
			}
		}
	}
	if seen != 8 {
		t.Errorf("%d lists of mounts were captured, want 8", seen)
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add(policyText(agentbay.DefaultSyncPolicy))
	f.Add(`{"uploadPolicy":null,"recyclePolicy":{"lifecycle":"LIFECYCLE_3DAYS","paths":["a",""]},"bwList":{"whiteLists":[{"path":"","excludePaths":["\u0000"]},{}]}}`)
	f.Add(`{"extractPolicy":{"extractCurrentFolder":true},"mappingPolicy":{"path":"C:\\"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePolicy(text)
		if err != nil {
			if agentbay.CodeOf(err) != agentbay.Invalid {
				t.Errorf("%q: %v, want Invalid", text, err)
			}
			return
		}
		again, err := parsePolicy(policyText(p))
		if len(text) > maxPolicy/8 {
			return // what is told may be longer than what may be asked
		}
		if err != nil || fmt.Sprint(again) != fmt.Sprint(p) {
			t.Errorf("%q: %+v came back as %+v, %v", text, p, again, err)
		}
	})
}

func FuzzMounts(f *testing.F) {
	f.Add(oneMount)
	f.Add(`[{"ContextId":"c","Path":"/x","Policy":"{\"bwList\":{\"whiteLists\":[{}]}}"},null]`)
	f.Fuzz(func(t *testing.T, text string) {
		mounts, err := parseMounts(text)
		if err != nil && agentbay.CodeOf(err) != agentbay.Invalid || len(mounts) > maxMounts {
			t.Errorf("%q: %d mounts, %v", text, len(mounts), err)
		}
		if _, err := json.Marshal(agentbay.MessageOf(err)); err != nil {
			t.Error(err)
		}
	})
}
