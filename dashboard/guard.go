package dashboard

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// policy lets the page load its own files and speak with its own server, and nothing else: no
// script in the page, no markup made of text, no frame around it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// guard stands before everything: it refuses requests under foreign names and those that other
// sites have caused, and tells browsers what the answers may do.
func (p *page) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !p.knows(r.Host) {
			text := fmt.Sprintf(
				"dashboard: the page is not served under the name %q: add it to dashboard.Config.Hosts",
				brief(r.Host, 100),
			)
			http.Error(w, text, http.StatusMisdirectedRequest)
			return
		}
		// "same-site" is another port of this machine, perhaps
		if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
			if r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Method != http.MethodGet || !plainPage(r.URL.Path) {
				http.Error(w, "dashboard: the request comes from another site", http.StatusForbidden)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// plainPage reports whether a path is that of the page itself, to which other sites may link.
func plainPage(path string) bool { return path == "" || path == "/" || path == "/index.html" }

// knows reports whether the page may be reached under a name, with or without a port. Addresses are
// no names that somebody else could give.
func (p *page) knows(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if _, err := netip.ParseAddr(host); err == nil || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	if machine, err := os.Hostname(); err == nil && host != "" && strings.EqualFold(machine, host) {
		return true
	}
	return slices.ContainsFunc(
		p.cfg.Hosts,
		func(known string) bool { return known == "*" || strings.EqualFold(known, host) },
	)
}
