package profiles

import "net/http"

// WithRoom has a handler keep fewer bytes of profiles.
func WithRoom(h http.Handler, room int64) http.Handler {
	h.(*handler).room = room
	return h
}
