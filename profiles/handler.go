// Package profiles serves the profiles of all processes of a program over HTTP, each in the forms
// of net/http/pprof, so that go tool pprof reads those of a worker through main:
//
//	http.Handle("/debug/pprof/", profiles.Handler(app, nil))
//
//	go tool pprof http://localhost:6060/debug/pprof/thumbnailer/2/profile
//	go tool pprof http://localhost:6060/debug/pprof/main/heap
//	curl http://localhost:6060/debug/pprof/thumbnailer/2/goroutine?debug=2
//	curl -o trace http://localhost:6060/debug/pprof/thumbnailer/2/trace?seconds=5
//
// Behind the name of a worker stands the name of a profile, as net/http/pprof has it;
// [multiprolab.Main.Profile] says which there are. A worker that spins, or hangs in a handler, has
// its profiles as well. The parameters are those of net/http/pprof: seconds, which may be a
// fraction, debug and gc. Without a profile, the answer is a page of links.
//
// With [Config.Combine], which the module profiles/combine has, there also is one profile of all
// workers of a pool, or of all processes of the program, whose samples are labelled by worker:
//
//	go tool pprof -tagroot worker http://localhost:6060/debug/pprof/thumbnailer/profile
//	go tool pprof -tagroot worker http://localhost:6060/debug/pprof/profile
//
// and seconds shows what was added to any profile in that time. Such a request keeps 256 MiB of
// profiles at most, compressed; what has no room is left out, and go tool pprof -comments says so.
//
// There is no symbol service as that of net/http/pprof: the profiles have the names of their
// functions in them, so that go tool pprof asks for none. The exception are the texts of debug=1,
// which are for people.
//
// Serve it where only those come who may see the program from within. Who asks for a profile costs
// the program the time to make it.
package profiles

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab"
)

// Config says what Handler serves. The zero value is good.
type Config struct {
	// Combine computes with profiles. Nil means that profiles of several workers, and what was
	// added to a profile in some seconds, are not served.
	Combine Combiner
}

// Combiner computes with profiles in the form of go tool pprof. The parts come from processes which
// may have broken code in them.
type Combiner interface {
	// Merge writes the sum of profiles of one kind, in which each sample has the label "worker".
	Merge(w io.Writer, parts []Part) error
	// Delta writes what after has more than before. Both are profiles of the same process.
	Delta(w io.Writer, before, after []byte) error
}

// Part is the profile of one process.
type Part struct {
	Worker  string // the name of the worker, or "main"
	Profile []byte // the profile, compressed or not
	Err     error  // why there is none, for example because the worker is being restarted; or nil
}

// Handler returns a handler that serves the profiles of a program. It is mounted at /debug/pprof/,
// or at another path with http.StripPrefix. cfg may be nil.
func Handler(app *multiprolab.Main, cfg *Config) http.Handler {
	h := &handler{app: app, room: maxParts}
	if cfg != nil {
		h.combine = cfg.Combine
	}
	return h
}

// handler serves the profiles of a program, in main. Nothing of it changes.
type handler struct {
	// app is the program.
	app *multiprolab.Main
	// combine computes with profiles, or is nil.
	combine Combiner
	// room is how many bytes of profiles one request keeps.
	room int64
}

// prefix is what comes before the name of a worker in a path, unless it was stripped.
const prefix = "/debug/pprof/"

// failure is an error with the status of its answer.
type failure struct {
	status int    // of HTTP
	text   string // for people
}

func (f *failure) Error() string { return f.text }

// fail returns a failure.
func fail(status int, format string, args ...any) error {
	return &failure{status, fmt.Errorf(format, args...).Error()}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		answer(w, fail(http.StatusMethodNotAllowed, "profiles: %s is not served here, only GET", r.Method))
		return
	}
	path, found := strings.CutPrefix(r.URL.Path, prefix)
	if !found {
		path = strings.TrimPrefix(path, "/")
	}
	t := h.find(path)
	switch {
	case t.profile == "" && t.bare: // links of the page are relative to a path with a slash at its end
		w.Header().Set("Location", path[strings.LastIndexByte(path, '/')+1:]+"/")
		w.WriteHeader(http.StatusMovedPermanently)
	case t.profile == "":
		h.index(w, t)
	case t.profile == "cmdline":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, strings.Join(os.Args, "\x00")) // who is gone needs no answer
	default:
		out := &output{w: w}
		err := h.profile(out, r, t)
		switch {
		case err == nil:
		case out.begun:
			panic(http.ErrAbortHandler) // so that what was sent is not taken for all
		default:
			answer(w, err)
		}
	}
}

// answer answers with an error, in the way that go tool pprof shows it.
func answer(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var f *failure
	var unknown *multiprolab.UnknownReceiverError
	var config *multiprolab.ConfigError
	switch {
	case errors.As(err, &f):
		status = f.status
	case errors.As(err, &unknown), errors.Is(err, fs.ErrNotExist): // no such worker, or profile
		status = http.StatusNotFound
	case errors.As(err, &config):
		status = http.StatusBadRequest
	case errors.Is(err, multiprolab.ErrStopped):
		status = http.StatusServiceUnavailable
	case errors.Is(err, context.DeadlineExceeded):
		status = http.StatusGatewayTimeout
	}
	head := w.Header()
	head.Set("Content-Type", "text/plain; charset=utf-8")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("X-Go-Pprof", "1")
	head.Del("Content-Disposition")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, err) // who is gone needs no answer
}

// output is the body of an answer, whose first byte settles that it is no error.
type output struct {
	w     http.ResponseWriter // the answer
	begun bool                // something was written
}

func (o *output) Write(p []byte) (int, error) {
	o.begun = o.begun || len(p) > 0
	return o.w.Write(p)
}

// options are the parameters of a request.
type options struct {
	// seconds is the duration, or 0.
	seconds time.Duration
	// cfg is what they say about the profile itself.
	cfg multiprolab.ProfileConfig
}

// maxSeconds is the greatest duration of a profile.
const maxSeconds = 24 * 60 * 60

// parse reads the parameters as net/http/pprof does: what is no number is as if it were not there,
// but for the seconds of a profile that is not recorded over a time.
func parse(r *http.Request, profile string) (o options, err error) {
	if text := r.FormValue("seconds"); text != "" {
		n, err := strconv.ParseFloat(text, 64)
		switch {
		case n > maxSeconds:
			return o, fail(http.StatusBadRequest, "profiles: seconds=%.100q is more than a day", text)
		case err == nil && n > 0: // which NaN is not
			o.seconds = time.Duration(n * float64(time.Second))
		case !recorded(profile):
			return o, fail(http.StatusBadRequest, "profiles: seconds=%.100q is no number above 0", text)
		}
	}
	gc, _ := strconv.Atoi(r.FormValue("gc"))            // 0 if it is no number
	o.cfg.Debug, _ = strconv.Atoi(r.FormValue("debug")) // likewise
	o.cfg.GC = profile == "heap" && gc > 0
	switch {
	case recorded(profile):
		o.cfg.Duration, o.cfg.Debug = cmp.Or(o.seconds, defaults[profile]), 0
	case o.cfg.Debug < 0: // a text as well
		o.cfg.Debug = 1
	}
	return o, nil
}

// defaults are the durations of the profiles that are recorded over a time.
var defaults = map[string]time.Duration{"cpu": 30 * time.Second, "trace": time.Second}

// recorded reports whether a profile is recorded over a time.
func recorded(profile string) bool { return defaults[profile] > 0 }

// extend gives an answer the time that its profile takes, beyond the server's WriteTimeout.
func extend(w http.ResponseWriter, r *http.Request, d time.Duration) error {
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok || server.WriteTimeout <= 0 || d <= 0 {
		return nil
	}
	err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d + server.WriteTimeout))
	if err != nil && d >= server.WriteTimeout {
		return fail(http.StatusBadRequest,
			"profiles: the server's WriteTimeout of %v ends the answer before %v have passed: %w",
			server.WriteTimeout, d, err)
	}
	return nil
}

// profile serves one profile.
func (h *handler) profile(out *output, r *http.Request, t target) error {
	o, err := parse(r, t.profile)
	if err != nil {
		return err
	}
	delta := o.seconds > 0 && !recorded(t.profile)
	several := t.worker == ""
	switch {
	case several && len(t.workers) == 0:
		return fail(http.StatusNotFound, "profiles: there is no worker of which %.200q would be a profile", t.path)
	case several && t.profile == "trace":
		return fail(http.StatusBadRequest,
			"profiles: traces of several processes cannot be merged: name one worker, such as %s", t.workers[0])
	case (several || delta) && o.cfg.Debug > 0:
		return fail(http.StatusBadRequest,
			"profiles: a text cannot be computed with: leave debug out, or name one worker and no seconds")
	case several && h.combine == nil:
		return fail(http.StatusNotImplemented,
			"profiles: a profile of several processes needs Config.Combine: name one worker, such as %s", t.workers[0])
	case delta && h.combine == nil:
		return fail(http.StatusNotImplemented,
			"profiles: what %q gains in some seconds needs Config.Combine: leave seconds out", t.profile)
	}
	w := out.w
	if err := extend(w, r, max(o.seconds, o.cfg.Duration)); err != nil {
		return err
	}
	head := w.Header()
	head.Set("X-Content-Type-Options", "nosniff")
	if o.cfg.Debug > 0 {
		head.Set("Content-Type", "text/plain; charset=utf-8")
	} else {
		head.Set("Content-Type", "application/octet-stream")
		name := strings.Map(func(r rune) rune { // a name of a file, whatever the profile is called
			if r == '-' || r == '.' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
				return r
			}
			return '_'
		}, t.worker+"-"+t.profile)
		head.Set("Content-Disposition", `attachment; filename="`+strings.TrimLeft(name, "-")+`"`)
	}
	switch {
	case r.Method == http.MethodHead:
		return nil
	case several:
		return h.combine.Merge(out, h.taking(t.profile, &o).parts(r.Context(), t.workers, delta))
	case delta:
		b, err := h.taking(t.profile, &o).delta(r.Context(), t.worker)
		if err == nil {
			_, err = out.Write(b)
		}
		return err
	}
	return h.app.Profile(r.Context(), out, t.worker, t.profile, &o.cfg)
}
