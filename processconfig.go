package multiprolab

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/multiprolab/multiprolab/internal/proc"
)

// This file is what a WorkerConfig says about the process of a worker: how it is checked, and what
// environment and limits it makes.

// noNUL is the reason why a text with a NUL byte is refused that is meant for the system.
const noNUL = "it holds a NUL byte, at which the system would end it: leave that out"

// hasNUL reports whether a text has a NUL byte.
func hasNUL(s string) bool { return strings.IndexByte(s, 0) >= 0 }

// checkArgs checks the arguments that every worker is given: the program may have changed os.Args.
func checkArgs() error {
	for i, arg := range os.Args {
		if hasNUL(arg) {
			return &ConfigError{fmt.Sprintf("os.Args[%d]", i), strconv.Quote(arg), noNUL}
		}
	}
	return nil
}

// mostOneString is the greatest size in bytes of one argument or variable that Linux takes, with
// the NUL byte at its end (MAX_ARG_STRLEN in execve(2)).
const mostOneString = 128 << 10

// tooBig says which field makes the environment and the arguments of a worker larger than the
// system takes. env is the whole environment of the worker.
func (c *WorkerConfig) tooBig(env []string) string {
	for i, e := range c.Process.Env {
		if len(e) >= mostOneString {
			name, _, _ := strings.Cut(e, "=")
			return fmt.Sprintf("WorkerConfig.Process.Env[%d] (%s) has %d bytes, and one variable may have %d", i,
				name, len(e), mostOneString-1)
		}
	}
	for _, e := range env {
		if len(e) >= mostOneString {
			name, _, _ := strings.Cut(e, "=")
			return fmt.Sprintf(
				"the variable %s, which it inherits, has %d bytes, and one may have %d: name it in "+
					"WorkerConfig.Process.DropEnv",
				name,
				len(e),
				mostOneString-1,
			)
		}
	}
	for i, arg := range os.Args {
		if len(arg) >= mostOneString {
			return fmt.Sprintf("os.Args[%d] has %d bytes, and one argument may have %d", i, len(arg), mostOneString-1)
		}
	}
	size := func(list []string) (n int) {
		for _, s := range list {
			n += len(s) + 1
		}
		return n
	}
	return fmt.Sprintf(
		"its environment has %d bytes, of which WorkerConfig.Process.Env has %d, and os.Args %d: that is more "+
			"than the system takes together "+
			"(on Linux a quarter of the limit of the stack, ulimit -s, and at most 6 MiB): give less in "+
			"WorkerConfig.Process.Env, or name what it inherits in WorkerConfig.Process.DropEnv",
		size(env),
		size(c.Process.Env),
		size(os.Args),
	)
}

// checkProcess checks the fields that are for the worker's process, and whether the platform has
// them.
func (c *WorkerConfig) checkProcess() error {
	for _, set := range []struct {
		group, field string
		value        any
		given        bool
	}{
		{"Process", "Credential", c.Process.Credential, c.Process.Credential != nil},
		{"Process", "PIDNamespace", c.Process.PIDNamespace, c.Process.PIDNamespace},
		{"Process", "Nice", c.Process.Nice, c.Process.Nice != 0},
		{"Process", "CPUs", c.Process.CPUs, c.Process.CPUs != nil},
		{"Process", "OOMScoreAdj", c.Process.OOMScoreAdj, c.Process.OOMScoreAdj != 0},
		{"Limits", "OpenFiles", c.Limits.OpenFiles, c.Limits.OpenFiles != 0},
		{"Limits", "CPUTime", c.Limits.CPUTime, c.Limits.CPUTime != 0},
	} {
		if lack := proc.Lacks(set.field); set.given && lack != "" {
			return &ConfigError{
				"WorkerConfig." + set.group + "." + set.field, set.value, lack + ": leave it out on this platform",
			}
		}
	}
	switch {
	case c.Process.Nice < -20 || c.Process.Nice > 19:
		return &ConfigError{"WorkerConfig.Process.Nice", c.Process.Nice, "it goes from -20 to 19"}
	case c.Process.OOMScoreAdj < -1000 || c.Process.OOMScoreAdj > 1000:
		return &ConfigError{"WorkerConfig.Process.OOMScoreAdj", c.Process.OOMScoreAdj, "it goes from -1000 to 1000"}
	case c.Process.CPUs != nil && len(c.Process.CPUs) == 0:
		return &ConfigError{
			"WorkerConfig.Process.CPUs",
			c.Process.CPUs,
			"a worker needs one processor at least: leave it nil for those of main",
		}
	case c.Limits.OpenFiles != 0 && c.Limits.OpenFiles < leastOpenFiles:
		return &ConfigError{
			"WorkerConfig.Limits.OpenFiles",
			c.Limits.OpenFiles,
			fmt.Sprintf("a worker needs at least %d", leastOpenFiles),
		}
	}
	for _, cpu := range c.Process.CPUs {
		if cpu < 0 {
			return &ConfigError{"WorkerConfig.Process.CPUs", c.Process.CPUs, "processors are numbered from 0"}
		}
	}
	return nil
}

// leastOpenFiles is the least WorkerConfig.Limits.OpenFiles: a worker needs the standard files, the
// wire, and what the Go runtime opens.
const leastOpenFiles = 16

// environ returns the environment of the worker's process, or nil if it is the inherited
// environment.
func (c *WorkerConfig) environ(inherited []string) []string {
	memory := c.Limits.GoMemory
	if memory == 0 {
		memory = c.Limits.Memory / 10 * 9
	}
	if len(c.Process.Env) == 0 && len(c.Process.DropEnv) == 0 && memory == 0 {
		return nil
	}
	env := slices.DeleteFunc(slices.Clone(inherited), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return slices.ContainsFunc(c.Process.DropEnv, func(pattern string) bool {
			ok, _ := path.Match(noSlash(pattern), noSlash(name)) // the pattern was checked by checkValues
			return ok
		})
	})
	if memory > 0 {
		env = append(env, fmt.Sprintf("GOMEMLIMIT=%d", memory))
	}
	return append(env, c.Process.Env...)
}

// wholeEnviron returns the environment of the worker's process, also if it is the environment of
// main.
func (c *WorkerConfig) wholeEnviron() []string {
	inherited := os.Environ()
	if env := c.environ(inherited); env != nil {
		return env
	}
	return inherited
}

// noSlash hides the slashes of a variable's name, which "*" would not match.
func noSlash(name string) string { return strings.ReplaceAll(name, "/", "\x00") }

// limits returns the limits that the worker sets for its process. procs is GOMAXPROCS in main, or 0
// if the environment says it.
func (c *WorkerConfig) limits(procs int) proc.Limits {
	l := proc.Limits{
		OpenFiles: c.Limits.OpenFiles, CPUTime: c.Limits.CPUTime, Nice: c.Process.Nice, CPUs: c.Process.CPUs,
		GOMAXPROCS: c.Process.GOMAXPROCS, OOMScoreAdj: c.Process.OOMScoreAdj,
	}
	given := slices.ContainsFunc(c.Process.Env, func(e string) bool { return strings.HasPrefix(e, "GOMAXPROCS=") })
	if l.GOMAXPROCS == 0 && procs > 2 && !given {
		l.GOMAXPROCS = max(2, (procs+c.Count-1)/c.Count)
	}
	return l
}

// oomScoreAdj returns the OOMScoreAdj of the worker's process. mains is that of main.
func (c *WorkerConfig) oomScoreAdj(mains int) int {
	if c.Process.OOMScoreAdj != 0 {
		return c.Process.OOMScoreAdj
	}
	return min(mains+sparesMain, 1000)
}

// sparesMain is how much greater the OOMScoreAdj of a worker is than that of main, so that the
// kernel rather ends a worker, in thousandths of the memory.
const sparesMain = 500
