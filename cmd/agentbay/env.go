package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/certs"
)

func (a *app) envCommand() *cobra.Command {
	var sdk string
	c := &cobra.Command{
		Use:   "env",
		Short: "Print what to set so that AgentBay SDKs use this bay",
		Long: `Print, as lines for a shell, the environment variables with which the AgentBay SDKs
of any language use the bay that runs on --data, with its first key, or that in
AGENTBAY_API_KEY where "agentbay up" has not made one. What a bay calls itself with
--public-url is printed, else where it listens.`,
		Example: `  eval "$(agentbay env)"
  agentbay env --sdk java`,
		Args: cobra.NoArgs,
		RunE: withContext(func(context.Context, []string) error {
			if sdk != "" && !slices.Contains(sdks, sdk) {
				return agentbay.Errorf(agentbay.Invalid, "no SDK %q; there is %s", sdk, strings.Join(sdks, ", "))
			}
			vars, err := a.variables(sdk)
			if err != nil {
				return err
			}
			return a.print(a.environment(vars), func(w *tabwriter.Writer) { printVariables(w, vars) })
		}),
	}
	c.Flags().StringVar(&sdk, "sdk", "", "only what this one needs: "+strings.Join(sdks, ", ")+" (default all)")
	return c
}

var sdks = []string{"go", "java", "python", "ts"}

// A shellVar is an environment variable and what to know about it.
type shellVar struct {
	name, value string
	sdks        []string // which need it; nil means all
	note        string
}

// variables is what the SDK, or every one, needs for the running server.
func (a *app) variables(sdk string) ([]shellVar, error) {
	s, err := a.readServer()
	if err != nil {
		return nil, err
	}
	key, err := a.readFirstKey()
	if err != nil {
		key = os.Getenv("AGENTBAY_API_KEY")
	}
	if key == "" {
		return nil, err
	}
	endpoint, isTLS := strings.CutPrefix(cmp.Or(s.PublicURL, s.Endpoint), "https://")
	vars := []shellVar{
		{name: "AGENTBAY_ENDPOINT", value: endpoint, note: endpointNote(isTLS)},
		{name: "AGENTBAY_API_KEY", value: key, note: "The first key; \"agentbay apikey create\" makes more."},
	}
	if s.CAFile != "" {
		vars = append(vars, trust(a.path("tls"), s.CAFile)...)
	}
	return slices.DeleteFunc(vars, func(v shellVar) bool {
		return sdk != "" && v.sdks != nil && !slices.Contains(v.sdks, sdk)
	}), nil
}

// environment is the variables without the words about them.
func (a *app) environment(vars []shellVar) map[string]string {
	values := map[string]string{}
	for _, v := range vars {
		values[v.name] = v.value
	}
	return values
}

func endpointNote(isTLS bool) string {
	if isTLS {
		return "Where the bay is; SDKs speak HTTPS to it."
	}
	return "Plain HTTP: our SDKs and the public Python SDK take it as it is; the others need HTTPS, or their protocol set to HTTP."
}

// trust is what makes each language accept the bay's own certificate.
func trust(dir, caFile string) []shellVar {
	return []shellVar{
		{"SSL_CERT_FILE", dir + "/ca-bundle.pem", []string{"go", "python"},
			"Go and Python: the system's certificates and the bay's."},
		{"NODE_EXTRA_CA_CERTS", caFile, []string{"ts"},
			"TypeScript: the bay's certificate besides Node's own."},
		{"JAVA_TOOL_OPTIONS", "-Djavax.net.ssl.trustStore=" + dir + "/trust.p12 -Djavax.net.ssl.trustStorePassword=" + certs.TrustPassword, []string{"java"},
			"Java: a trust store of the system's certificates and the bay's; java prints that it picked this up."},
	}
}

func printVariables(w *tabwriter.Writer, vars []shellVar) {
	for _, v := range vars {
		fmt.Fprintf(w, "# %s\nexport %s=%s\n", v.note, v.name, quote(v.value))
	}
}

// quote makes a word for a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
