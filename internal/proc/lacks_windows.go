// The variable of this file serves both processes.

package proc

// lacks says why Windows does not have some features.
var lacks = map[string]string{
	"OpenFiles":    "Windows has no limit of open handles",
	"Credential":   "Windows starts processes of other users only with their password",
	"OOMScoreAdj":  "Windows ends no process for lack of memory",
	"PIDNamespace": "Windows has no PID namespaces; a job object already ends all descendants of a worker",
}
