package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/agentbay/agentbay"
)

// A server is what a running server writes into its data directory, for the
// commands beside it.
type server struct {
	PID       int    `json:"pid"`
	Endpoint  string `json:"endpoint"`             // for clients on this host, http://… or https://…
	PublicURL string `json:"public_url,omitempty"` // for all others, if it is another
	CAFile    string `json:"ca_file,omitempty"`    // signs its certificate; empty for a given certificate or plain HTTP
	Program   string `json:"program"`              // see programID
}

func (a *app) path(elem ...string) string { return filepath.Join(append([]string{a.data}, elem...)...) }

func (a *app) serverFile() string   { return a.path("server.json") }
func (a *app) pidFile() string      { return a.path("server.pid") }
func (a *app) firstKeyFile() string { return a.path("first-key") }
func (a *app) logFile() string      { return a.path("log", "server.jsonl") }

// readServer reads what the server of the data directory wrote. It may have
// died since.
func (a *app) readServer() (server, error) {
	b, err := os.ReadFile(a.serverFile())
	if errors.Is(err, fs.ErrNotExist) {
		return server{}, agentbay.Errorf(agentbay.Unavailable, "no server is running on the data directory %s", a.data)
	}
	if err != nil {
		return server{}, agentbay.Wrap(err, agentbay.Denied, "the data directory cannot be read; it belongs to root")
	}
	var s server
	err = json.Unmarshal(b, &s)
	return s, agentbay.Wrap(err, agentbay.Internal, "%s is damaged; restart the server", a.serverFile())
}

// readFirstKey reads the API key that "agentbay up" made.
func (a *app) readFirstKey() (string, error) {
	b, err := os.ReadFile(a.firstKeyFile())
	if err != nil {
		return "", agentbay.Wrap(err, agentbay.Denied, "no API key: set AGENTBAY_API_KEY, or run as root where `agentbay up` made one")
	}
	return strings.TrimSpace(string(b)), nil
}

// clientFlags are the flags of commands that call a bay.
func (a *app) clientFlags(f *pflag.FlagSet) {
	f.StringVar(&a.endpoint, "endpoint", "", "the bay to call, host:port or URL (default the server of --data)")
	f.StringVar(&a.key, "api-key", "", "API key (default the first key of --data)")
}

// client makes a client of the bay that flags and environment name, else of the
// server that runs on the data directory.
func (a *app) client() (*agentbay.Client, error) {
	endpoint, caFile := a.endpoint, os.Getenv("AGENTBAY_CA_FILE")
	if endpoint == "" {
		s, err := a.readServer()
		if err != nil {
			return nil, err
		}
		endpoint, caFile = s.Endpoint, cmp.Or(s.CAFile, caFile)
	}
	key := a.key
	if key == "" {
		var err error
		if key, err = a.readFirstKey(); err != nil {
			return nil, err
		}
	}
	return agentbay.NewClient(agentbay.WithEndpoint(endpoint), agentbay.WithKey(key), agentbay.WithCAFile(caFile))
}
