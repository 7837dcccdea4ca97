// Package dashboard is a page that shows what goes on in a program: its processes, what they run
// and what they print, the queues, the types of tasks, the dead tasks, the last minute. It is an
// http.Handler, to be mounted anywhere:
//
//	http.Handle("/workers/", http.StripPrefix("/workers", dashboard.Handler(app, nil)))
//
// The page is live, works without anything from elsewhere, and only looks unless Config.Allow lets
// it do more. Whoever reaches it sees names, errors, and what workers print: serve it on a loopback
// address, or behind what tells who may see it.
//
// While nobody has the page open it costs nothing. While somebody has, one goroutine takes a
// snapshot each second, Main.Stats, for all who look. So the last minute is shown from when the
// first of them came, and to whoever comes later, or comes again within a minute.
//
// The same data is there for programs:
//
//	GET api/stats              multiprolab.Stats as JSON
//	GET api/dead               the newest dead tasks, with their errors, as JSON
//	GET api/stderr?worker=NAME the end of what a worker has printed to its standard error, as text
//	GET api/events             snapshots and events as server-sent events
//	POST api/actions/ACTION    an Action, with an object of JSON that says on what
package dashboard

import (
	"cmp"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"encoding/json"
	"hash/fnv"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/profiles"
)

// Config configures the page. Its zero value, and nil, are good defaults. Handler copies it; a
// later change has no effect.
type Config struct {
	// Title is what the page calls the program. Defaults to the name of its file.
	Title string
	// Allow, if not nil, says whether who has sent a request may do something, and is asked again
	// when it is done. It is called on the goroutines of net/http. Defaults to nil: nobody may do
	// anything but look. AllowAll lets everybody do everything.
	Allow func(r *http.Request, a Action) bool
	// Hosts are the names by which the page may be reached, such as "admin.example.com"; "*" stands
	// for any. Addresses, "localhost", and the name of the machine are always among them. A request
	// under another name is refused, since any site can give a name of its own the address of this
	// server, and so would get at the page by the browser of somebody who reaches it. The name of a
	// reverse proxy belongs here also if the proxy sends requests under another one.
	Hosts []string
	// Combine adds profiles of several workers up, for debug/pprof/decoder/heap and, of all
	// processes, debug/pprof/heap, to which the page has links then; see profiles.Config. Defaults
	// to nil: each worker has its own.
	Combine profiles.Combiner
	// Interval is how often the page is told what has changed. Defaults to 1 second.
	Interval time.Duration
}

// Action is something that the page can do to the program.
type Action string

// The actions. Each is refused unless Config.Allow allows it.
const (
	Retry   Action = "retry"   // TaskQueue.RetryDead: {"ids": ["12"]}, or {"all": true}
	Discard Action = "discard" // TaskQueue.DropDead: {"ids": ["12"]}, or {"all": true}
	Pause   Action = "pause"   // TaskQueue.Pause, and TaskQueue.Resume as "resume": {"queue": "mail"}
	Resize  Action = "resize"  // Main.Resize: {"worker": "decoder", "size": 3}, up to 1,000
	Restart Action = "restart" // Main.Restart: {"worker": "decoder"}, or an instance
	Kill    Action = "kill"    // Main.Kill: {"worker": "decoder/2"}
	Dump    Action = "dump"    // Main.Dump, the stacks of a process: {"worker": "decoder/2"}
	Profile Action = "profile" // GET debug/pprof/decoder/2/heap and the like, see package profiles
)

// actions are all actions, in the order of the page.
var actions = []Action{Retry, Discard, Pause, Resize, Restart, Kill, Dump, Profile}

// AllowAll is a Config.Allow that allows everything to everybody who reaches the page.
func AllowAll(*http.Request, Action) bool { return true }

// assets are the files of the page.
//
//go:embed assets
var assets embed.FS

// page is a handler. It exists in main. Its fields do not change, and any goroutine may use it.
type page struct {
	app      *multiprolab.Main // the program that is shown
	cfg      Config            // the configuration, with the defaults filled in
	watch    *watch            // who looks; it guards itself
	profiles http.Handler      // serves the profiles of the processes
	program  string            // tells the program from others, for pages that are open
}

// Handler returns the page of a program. It may be made and mounted before Run or Start, and shows
// the last state after the end. An open page holds a connection, which ends with its request, with
// the program, or with its http.Server, whether by Close or Shutdown.
func Handler(app *multiprolab.Main, cfg *Config) http.Handler {
	p := &page{app: app}
	if cfg != nil {
		p.cfg = *cfg
	}
	p.cfg.Title = cmp.Or(p.cfg.Title, strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe"))
	if p.cfg.Interval <= 0 {
		p.cfg.Interval = time.Second
	}
	p.cfg.Hosts = append([]string(nil), p.cfg.Hosts...)
	if p.cfg.Allow == nil {
		p.cfg.Allow = func(*http.Request, Action) bool { return false }
	}
	p.watch = &watch{app: app, interval: p.cfg.Interval}
	p.profiles = profiles.Handler(app, &profiles.Config{Combine: p.cfg.Combine})

	p.program = rand.Text()
	origins := http.NewCrossOriginProtection()
	for _, host := range p.cfg.Hosts { // browsers that send no Sec-Fetch-Site send the name that they know
		_ = origins.AddTrustedOrigin("http://" + host)  // what makes no origin, such as "*", is that of no page
		_ = origins.AddTrustedOrigin("https://" + host) // likewise
	}
	return p.guard(relative(origins.Handler(http.HandlerFunc(p.route))))
}

// route finds what serves a path. An http.ServeMux would send clients whose paths are not clean to
// where the page is not mounted.
func (p *page) route(w http.ResponseWriter, r *http.Request) {
	serve, method := p.serveFile, http.MethodGet
	switch path := r.URL.Path; {
	case path == "/api/stats":
		serve = p.serveStats
	case path == "/api/events":
		serve = p.serveEvents
	case path == "/api/dead":
		serve = p.serveDead
	case path == "/api/stderr":
		serve = p.serveStderr
	case strings.HasPrefix(path, actionPath):
		serve, method = p.serveAction, http.MethodPost
	case path == "/debug/pprof":
		w.Header().Set("Location", "pprof/")
		w.WriteHeader(http.StatusTemporaryRedirect)
		return
	case strings.HasPrefix(path, "/debug/pprof/"):
		serve = p.serveProfile
	}
	switch {
	case r.Method == method:
	case method == http.MethodGet && r.Method == http.MethodHead:
	default:
		allow := method
		if method == http.MethodGet {
			allow = "GET, HEAD"
		}
		w.Header().Set("Allow", allow)
		http.Error(w, "dashboard: this is served to "+allow+" alone", http.StatusMethodNotAllowed)
		return
	}
	serve(w, r)
}

// relative makes a handler work wherever it is mounted, also behind http.StripPrefix: the page
// names all its files and data relative to itself.
func relative(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		whole, _, _ := strings.Cut(r.RequestURI, "?")
		switch {
		case r.URL.Path == "" && whole != "" && !strings.HasSuffix(whole, "/"): // relative names need the slash
			w.Header().Set("Location", "./"+path.Base(whole)+"/")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		case !strings.HasPrefix(r.URL.Path, "/"):
			q := r.Clone(r.Context())
			q.URL.Path = "/" + q.URL.Path
			q.URL.RawPath = ""
			r = q
		}
		next.ServeHTTP(w, r)
	})
}

// contentTypes are those of the files of the page. Those of package mime depend on the machine.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// serveFile serves a file of the page.
func (p *page) serveFile(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	name = cmp.Or(name, "index.html")
	text, err := fs.ReadFile(assets, "assets/"+name)
	if err != nil || strings.Contains(name, "/") {
		http.NotFound(w, r)
		return
	}
	h := fnv.New64a()
	h.Write(text)
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", `"`+hex.EncodeToString(h.Sum(nil))+`"`)
	w.Header().Set("Content-Type", contentTypes[path.Ext(name)])
	http.ServeContent(w, r, name, time.Time{}, strings.NewReader(string(text)))
}

// serveStats answers with a snapshot.
func (p *page) serveStats(w http.ResponseWriter, _ *http.Request) { answer(w, p.app.Stats()) }

// serveStderr answers with the end of what a worker has printed to its standard error.
func (p *page) serveStderr(w http.ResponseWriter, r *http.Request) {
	text, err := p.app.Stderr(r.FormValue("worker"))
	if err != nil {
		http.Error(w, brief(err.Error(), 1000), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(strings.ToValidUTF8(text, "\ufffd"))) // who has asked has gone away
}

// answer writes a value as JSON.
func answer(w http.ResponseWriter, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(text, '\n')) // who has asked has gone away
}

// brief cuts a text to a number of bytes, at the end of a character.
func brief(text string, most int) string {
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strings.ToValidUTF8(text, "\ufffd")
}
