// The functions of this file serve the process that starts workers.

package proc

import (
	"fmt"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
)

// environ returns the worker's environment: that of the Spec, with exactly one marker. If a name
// comes more than once, the last one counts, as in os/exec.
func (spec *Spec) environ(stdout uintptr, box bool, handed []handedFD) []string {
	m := marker{Role: spec.Role, Parent: os.Getpid(), Stdout: stdout, PIDNamespace: spec.PIDNamespace, Box: box,
		OOMScoreAdj: spec.OOMScoreAdj, Handed: handed}
	env := spec.Environ()
	out := make([]string, 0, len(env)+2)
	seen := make(map[string]bool, len(env)+1)
	seen[envKey(markerName)] = true
	for _, entry := range slices.Backward(env) {
		// Windows has names that begin with '=' (the working directories of the drives).
		i := strings.IndexByte(entry, '=')
		if i == 0 && runtime.GOOS == "windows" {
			i = strings.IndexByte(entry[1:], '=') + 1
		}
		if i > 0 {
			key := envKey(entry[:i])
			if seen[key] {
				continue
			}
			seen[key] = true
		}
		out = append(out, entry)
	}
	if runtime.GOOS == "windows" && !seen["SYSTEMROOT"] { // nothing that uses the network runs without it
		out = append(out, "SYSTEMROOT="+os.Getenv("SYSTEMROOT"))
	}
	out = append(out, markerName+"="+m.text())
	slices.Reverse(out)
	return out
}

// Environ returns the worker's environment, but for what its start adds.
func (spec *Spec) Environ() []string {
	env := slices.Clone(spec.Inherited)
	if env == nil {
		env = os.Environ()
	}
	// A pattern's '*' matches no slash, so that both sides hide theirs. The patterns are good.
	hide := func(s string) string { return strings.ReplaceAll(s, "/", "\x00") }
	env = slices.DeleteFunc(env, func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return slices.ContainsFunc(spec.DropEnv, func(pattern string) bool {
			drop, _ := path.Match(hide(pattern), hide(name))
			return drop
		})
	})
	if spec.GoMemory > 0 {
		env = append(env, fmt.Sprintf("GOMEMLIMIT=%d", spec.GoMemory))
	}
	return append(env, spec.Env...)
}

// MostOneString is the greatest size in bytes of one argument or variable that Linux takes: one
// less than MAX_ARG_STRLEN of execve(2), which counts the NUL byte at its end.
const MostOneString = 128<<10 - 1

// TooLong returns the index of an argument or variable that is longer, or -1.
func TooLong(list []string) int {
	return slices.IndexFunc(list, func(s string) bool { return len(s) > MostOneString })
}

// SizeOf returns how many bytes arguments or variables take, with the NUL bytes at their ends.
func SizeOf(list []string) (n int) {
	for _, s := range list {
		n += len(s) + 1
	}
	return n
}

// envKey returns a text that is equal for all spellings of an environment variable's name.
func envKey(name string) string {
	if runtime.GOOS == "windows" {
		return strings.ToUpper(name)
	}
	return name
}
