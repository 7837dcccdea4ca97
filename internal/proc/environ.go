// The functions of this file serve the process that starts workers.

package proc

import (
	"os"
	"runtime"
	"slices"
	"strings"
)

// environ returns the worker's environment: that of the Spec, with exactly one marker. If a name
// comes more than once, the last one counts, as in os/exec.
func (spec *Spec) environ(stdout uintptr, box bool, handed []handedFD) []string {
	m := marker{Role: spec.Role, Parent: os.Getpid(), Stdout: stdout, PIDNamespace: spec.PIDNamespace, Box: box,
		OOMScoreAdj: spec.OOMScoreAdj, Handed: handed}
	env := spec.Env
	if env == nil {
		env = os.Environ()
	}
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

// envKey returns a text that is equal for all spellings of an environment variable's name.
func envKey(name string) string {
	if runtime.GOOS == "windows" {
		return strings.ToUpper(name)
	}
	return name
}
