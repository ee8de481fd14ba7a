package tree

func (s *saver) archive() error { return errSoon }
