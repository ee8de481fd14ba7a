package main

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/agentbay/agentbay"
)

const defaultConfig = "/etc/agentbay/agentbay.conf"

// configure sets the flags that were not given from the environment, and those
// that are not there either from the configuration file.
func (a *app) configure(cmd *cobra.Command) error {
	if err := setFromEnv(cmd.Flags(), "config"); err != nil {
		return err
	}
	settings, err := a.readConfig(cmd.Root())
	if err != nil {
		return err
	}
	var failed error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || failed != nil {
			return
		}
		if failed = setFromEnv(cmd.Flags(), f.Name); failed != nil || f.Changed {
			return
		}
		if value, ok := settings[f.Name]; ok {
			failed = setFlag(cmd.Flags(), f.Name, value, "the configuration file")
		}
	})
	return failed
}

// variable is the environment variable of a flag.
func variable(flag string) string {
	return "AGENTBAY_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func setFromEnv(flags *pflag.FlagSet, name string) error {
	f := flags.Lookup(name)
	value := os.Getenv(variable(name))
	if f == nil || f.Changed || value == "" {
		return nil
	}
	return setFlag(flags, name, value, variable(name))
}

func setFlag(flags *pflag.FlagSet, name, value, where string) error {
	if err := flags.Set(name, value); err != nil {
		return agentbay.Errorf(agentbay.Invalid, "%s says %s is %q: %v", where, name, value, err)
	}
	return nil
}

// readConfig reads lines "name = value". A name that no command has is an
// error, so that a misspelled limit is not silently without effect.
func (a *app) readConfig(root *cobra.Command) (map[string]string, error) {
	name, must := a.config, true
	if name == "" {
		name, must = defaultConfig, false
	}
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) && !must {
		return nil, nil
	}
	if err != nil {
		return nil, agentbay.Wrap(err, agentbay.Invalid, "the configuration file cannot be read")
	}
	defer file.Close()
	known := flagNames(root)
	settings := map[string]string{}
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok || !known[key] {
			return nil, agentbay.Errorf(agentbay.Invalid, "%s:%d: %q is not \"flag = value\" with the name of a flag", name, n, line)
		}
		settings[key] = value
	}
	return settings, agentbay.Wrap(lines.Err(), agentbay.Invalid, "%s cannot be read", name)
}

// flagNames is every flag of every command.
func flagNames(root *cobra.Command) map[string]bool {
	names := map[string]bool{}
	add := func(f *pflag.Flag) { names[f.Name] = true }
	root.PersistentFlags().VisitAll(add)
	for _, c := range root.Commands() {
		c.Flags().VisitAll(add)
		for name := range flagNames(c) {
			names[name] = true
		}
	}
	return names
}
