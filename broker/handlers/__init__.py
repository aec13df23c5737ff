"""One file per family of APIs, named as in `wire/messages`; `table.TABLE` says which are served."""
