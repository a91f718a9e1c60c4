/* Stands in for a module that has no source yet. */
extern int prompteur_empty;
int prompteur_empty;
