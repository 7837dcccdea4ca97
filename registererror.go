package multiprolab

import (
	"reflect"

	"github.com/multiprolab/multiprolab/internal/errpack"
)

// RegisterError lets errors keep what they are when a handler returns them in another process. A
// sentinel, such as sql.ErrNoRows, is matched by errors.Is again; a type, given by any value of it,
// is found by errors.As with its exported fields; the errors in these cross as others do. Call it
// before Hook, Run or Start, so that main and workers do the same. Most of the standard library's
// need no registration: see RemoteError. All others arrive as the text of a RemoteError.
func (m *Main) RegisterError(errs ...error) {
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	if m.state != mainNew {
		registrationPanic("RegisterError is called after Run or Start: call it before (%s)", callSite())
	}
	for _, err := range errs {
		if err == nil {
			registrationPanic("RegisterError: an error is nil (%s)", callSite())
		}
		m.errors.list = append(m.errors.list, err)
	}
}

// warnOfErrors logs which registered types of errors cannot be sent. prepare calls it.
func (m *Main) warnOfErrors() {
	if list := m.errors.list; m.hook != nil && m.hook.errors < len(list) {
		m.cfg.Logger.Warn("multiprolab: RegisterError after Hook: the processes of the workers run no further than "+
			"Hook and do not know the error, which arrives as the text of a RemoteError: call RegisterError before",
			"type", reflect.TypeOf(list[m.hook.errors]).String(), "hook", m.hook.site.String())
	}
	for _, known := range m.errors.list {
		t := reflect.TypeOf(known)
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		empty := t.Kind() == reflect.Struct && t.NumField() == 0
		if t.PkgPath() == "errors" || t.PkgPath() == "fmt" || empty || errpack.IsStdStruct(known) {
			continue // such an error has nothing to send but what it is
		}
		bare, _ := withoutCauses(reflect.New(t).Elem())
		if _, err := m.codec.Encode(bare); err != nil {
			m.cfg.Logger.Warn("multiprolab: RegisterError: errors.As will not find errors of this type, "+
				"for they cannot be sent; errors.Is finds the value itself",
				"type", reflect.TypeOf(known).String(), "error", brief(err))
		}
	}
}
