package dashboard

import "net/http"

// serveProfile serves the profiles of the processes: debug/pprof/decoder/2/heap is the heap of a
// worker.
func (p *page) serveProfile(w http.ResponseWriter, r *http.Request) {
	if !p.cfg.Allow(r, Profile) {
		http.Error(w, "dashboard: profiles are not allowed here: see dashboard.Config.Allow", http.StatusForbidden)
		return
	}
	p.profiles.ServeHTTP(w, r)
}
