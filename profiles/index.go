package profiles

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"net/http"
	"runtime/pprof"
	"slices"
	"strings"

	"github.com/multiprolab/multiprolab"
)

// target is what a path is about.
type target struct {
	// path is the path, without what comes before the name of a worker.
	path string
	// worker is the name of one worker, or of main; empty if the path is about several.
	worker string
	// workers are all that the path is about.
	workers []string
	// profile is the name of a profile, as Main.Profile knows it; empty if the path names none.
	profile string
	// bare says that there is no slash behind the name of a worker or a pool.
	bare bool
}

// known are the profiles that each process has, as net/http/pprof calls them, and what they are.
var known = []struct{ name, what string }{
	{"goroutine", "the stacks of all goroutines, now"},
	{"heap", "what is in memory"},
	{"allocs", "what was allocated since the start"},
	{"profile", "where processor time goes, for 30 seconds"},
	{"trace", "what happens when, for a second"},
	{"mutex", "who holds up whom, if the process counts it"},
	{"block", "where goroutines wait, if the process counts it"},
	{"threadcreate", "what has made threads"},
}

// find takes a path apart: it begins with the longest name of a worker or a pool that fits.
func (h *handler) find(path string) target {
	all := []string{multiprolab.MainName}
	for _, w := range h.app.Stats().Workers { // the spares are among them
		all = append(all, w.Name)
	}
	scopes := map[string][]string{"": all}
	for _, name := range all {
		scopes[name] = []string{name}
		if at := strings.LastIndexByte(name, '/'); at > 0 {
			scopes[name[:at]] = append(scopes[name[:at]], name)
		}
	}
	scope := ""
	for name := range scopes {
		if (path == name || strings.HasPrefix(path, name+"/")) && len(name) > len(scope) {
			scope = name
		}
	}
	rest := path[len(scope):]
	t := target{path: path, workers: scopes[scope], bare: rest == "" && path != ""}
	if slices.Contains(all, scope) {
		t.worker = scope
	}
	t.profile = strings.TrimPrefix(rest, "/")
	if t.worker == "" && strings.Contains(t.profile, "/") && pprof.Lookup(t.profile) == nil {
		t.workers = nil // what stands before the profile is no worker
	}
	if t.profile == "profile" {
		t.profile = "cpu"
	}
	return t
}

// index serves a page of links to the profiles of workers.
func (h *handler) index(w http.ResponseWriter, t target) {
	head := w.Header()
	head.Set("Content-Type", "text/html; charset=utf-8")
	head.Set("X-Content-Type-Options", "nosniff")
	var b strings.Builder
	fmt.Fprintf(&b, "<!DOCTYPE html><html lang=en><title>Profiles of %s</title><h1>Profiles of %[1]s</h1>\n",
		html.EscapeString(cmp.Or(strings.TrimSuffix(t.path, "/"), "all processes")))
	if t.worker != "" || h.combine != nil {
		b.WriteString("<ul>\n")
		for _, k := range known {
			if t.worker == "" && k.name == "trace" {
				continue // there is none of several processes
			}
			query := ""
			if t.worker != "" && k.name != "profile" && k.name != "trace" {
				query = "?debug=1"
			}
			fmt.Fprintf(&b, "<li><a href=\"%s%s\">%[1]s</a>: %[3]s\n", k.name, query, k.what)
		}
		b.WriteString("</ul>\n")
	}
	if t.worker != "" {
		b.WriteString("<p><a href=\"goroutine?debug=2\">all stacks</a>\n")
	} else {
		b.WriteString("<ul>\n")
		for _, name := range t.workers {
			link := strings.TrimPrefix(name, t.path)
			fmt.Fprintf(&b, "<li><a href=\"%s/\">%s</a>\n", html.EscapeString(link), html.EscapeString(name))
		}
		b.WriteString("</ul>\n")
	}
	_, _ = io.WriteString(w, b.String()) // who is gone needs no answer
}
